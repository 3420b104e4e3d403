"""The frames that queries refer to, of the separated video or of another one; they are read once for all queries.

This module knows nothing of sound.
"""

from collections.abc import Hashable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from trisep.encoders import SharedEncoder
from trisep.errors import QueryError
from trisep.media.probe import MediaInfo, probe
from trisep.media.video import read_frames
from trisep.queries.kept import file_key, kept, picture_key
from trisep.queries.regions import cell_of, check_place, crop
from trisep.types import Place, Query

_NUM_FRAMES = 4
"""Number of evenly spread frames read of a video; a model that reads regions gives a mask per cell of each."""


class QueryFrames:
    """The frames of the separated file that queries need: they are read together, once for all queries."""

    def __init__(self, encoder: SharedEncoder, source: Path | None, queries: Sequence[Query]) -> None:
        """Check places and times against the file; frames are read later."""
        self._encoder, self._source = encoder, source
        self._spread: tuple[float, ...] = ()
        for query in queries:
            if query.place is not None:
                check_place(query.place, f"query '{query.name}'")
        needing_frames = [query for query in queries if query.place is not None or self._is_source(query)]
        times: set[float] = set()
        if needing_frames:
            info = probe_picture(source, needing_frames[0])
            self._spread = _spread_seconds(info)
            for query in needing_frames:
                times.update(self._times_of(query.place))
                self._check_time(query, info)
        self.times_seconds = tuple(sorted(times))

    @cached_property
    def frames(self) -> UInt8[np.ndarray, "_ _ _ 3"]:
        """The frames at `times_seconds`, in their full size."""
        assert self._source is not None, "frames are read of a file only"
        return read_frames(self._source, self.times_seconds)

    def region(self, place: Place, query: Query) -> Float[Tensor, "D"]:
        """Return the embedding of the cell that holds a point, averaged over the frames."""
        rows, columns = self._grids.shape[1:3]
        height, width = self.frames.shape[1:3]
        row, column = cell_of(place, (height, width), (rows, columns), self._label(query))
        return self._grids[self._indices(place), row, column].mean(dim=0)

    def vector(self, query: Query) -> Float[Tensor, "D"]:
        """Return the embedding of a picture, a video or what a box cuts out, averaged over what is shown of it."""
        key = self.key(query)
        return kept(
            key and ("vector", self._encoder, key),
            lambda: self._encoder.encode_image(self.shown(query)).mean(dim=0),
        )

    def video_grids(self, query: Query) -> Float[Tensor, "K 7 7 D"]:
        """Return the region embeddings of a video query's frames."""
        if self._is_source(query):
            return self._grids[self._indices(None)]
        key = self.key(query)
        return kept(key and ("regions", self._encoder, key), lambda: self._encoder.encode_regions(self.shown(query)))

    def key(self, query: Query) -> Hashable:
        """Return what a picture, or a video that is not the separated file, is found by among what is kept."""
        if query.image is not None:
            return picture_key(query.image)
        return None if query.video is None or self._is_source(query) else file_key(Path(query.video))

    def shown(self, query: Query) -> list[UInt8[np.ndarray, "_ _ 3"]]:
        """Return the picture of a query, the frames of its video, which may be the separated file, or what its box cuts
        out of each frame.
        """
        if query.image is not None:
            return [query.image]
        if query.place is not None:
            return [crop(self.frames[index], query.place, self._label(query)) for index in self._indices(query.place)]
        if self._is_source(query):
            return list(self.frames[self._indices(None)])
        info = probe_picture(query.video, query)
        return list(read_frames(info.path, _spread_seconds(info)))

    @cached_property
    def _grids(self) -> Float[Tensor, "_ 7 7 D"]:
        return self._encoder.encode_regions(list(self.frames))

    def _times_of(self, place: Place | None) -> tuple[float, ...]:
        """Return the times, in seconds, of the frames for a place, or for the whole picture when `place` is None."""
        return self._spread if place is None or place.time_seconds is None else (place.time_seconds,)

    def _indices(self, place: Place | None) -> list[int]:
        return [self.times_seconds.index(time_seconds) for time_seconds in self._times_of(place)]

    def _is_source(self, query: Query) -> bool:
        """Return whether a video query names the file that is separated."""
        return (
            query.video is not None
            and self._source is not None
            and Path(query.video).resolve() == self._source.resolve()
        )

    def _label(self, query: Query) -> str:
        """Return the words that an error about this query begins with."""
        return f"{self._source}: query '{query.name}'" if self._source is not None else f"query '{query.name}'"

    def _check_time(self, query: Query, info: MediaInfo) -> None:
        """Raise QueryError when the query's time lies after the file's end."""
        time_seconds = None if query.place is None else query.place.time_seconds
        if time_seconds is not None and time_seconds > info.duration_seconds:
            raise QueryError(
                f"{self._label(query)} refers to {time_seconds:g} s, but the file ends at {info.duration_seconds:g} s"
            )


def probe_picture(path: Path | None, query: Query) -> MediaInfo:
    """Return the streams of a file that has a picture.

    Raises QueryError when it has none, or when `path` is None (sound in memory), and MediaError when it cannot be read.
    """
    if path is None:
        raise QueryError(
            f"query '{query.name}' points into a picture, and a sound in memory has none: give a video file, or a "
            "query in words"
        )
    info = probe(path)
    if not info.video:
        raise QueryError(f"{path}: holds no picture for query '{query.name}'; give a video, or a query in words")
    return info


def _spread_seconds(info: MediaInfo) -> tuple[float, ...]:
    """Return the middles of equal parts of the picture's duration, in seconds."""
    end_seconds = info.video[0].duration_seconds or info.duration_seconds
    return tuple((number + 0.5) / _NUM_FRAMES * end_seconds for number in range(_NUM_FRAMES))
