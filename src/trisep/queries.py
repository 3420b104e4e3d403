"""Queries in the form that a model reads: words, pictures, videos and places of the video that is separated, through the encoder.

Words go through the averaged templates, a picture as it is. A place or a video is looked at in a few frames, whose raw embeddings are
averaged: of the grid cell that holds a point, of what a box cuts out (VAST, Table 9), of the whole frame. A model that reads regions gets
every cell of a video's frames instead (VAST, Eq. 4). Sound is not known here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from trisep.encoders import SharedEncoder, encode_query_text
from trisep.errors import QueryError
from trisep.media.probe import MediaInfo, probe
from trisep.media.video import read_frames
from trisep.places import cell_of, check_place, crop, place_entry
from trisep.report import unused_name
from trisep.types import MaskOutput, Place, Query, QueryEmbedding

_NUM_FRAMES = 4
"""Frames looked at in a video, spread evenly. For a model that reads regions each adds a mask per cell."""


def as_queries(queries: Sequence[str | Query]) -> list[Query]:
    """Words become queries of that name; a name that comes twice gets `_2`. QueryError for none at all, or an empty one."""
    if isinstance(queries, str | Query):
        raise QueryError(f"queries must be a list, for example [{queries!r}]")
    wanted: list[Query] = []
    for query in queries:
        query = query if isinstance(query, Query) else Query(query, text=query)
        wanted.append(replace(query, name=unused_name(query.name, {other.name for other in wanted})))
    if not wanted:
        raise QueryError('nothing to listen for: give at least one query, for example "violin"')
    return wanted


def video_query(path: Path) -> Query:
    """The query for what the whole picture of a video shows, called after the file. MediaError or QueryError when it has no picture."""
    query = Query(path.stem, video=path)
    _probe_picture(path, query)
    return query


def query_entry(query: Query) -> dict[str, Any]:
    """What report.json says of what was asked: the kind, and the place where it is one."""
    if query.place is not None:
        return {"kind": "box" if query.place.is_box else "region", "place": place_entry(query.place)}
    return {"kind": "text" if query.text is not None else "image" if query.image is not None else "video"}


@dataclass(frozen=True, slots=True)
class EmbeddedQueries:
    """Queries as a model reads them, and what was looked at for them."""

    vectors: Float[Tensor, "V D"]
    """Of the queries that are one vector, in order."""
    regions: Float[Tensor, "R K 7 7 D"] | None
    """Of the others, in order; None where there are none."""
    order: tuple[int, ...]
    """Of each query, its place in vectors followed by regions."""
    frames: UInt8[np.ndarray, "_ _ _ 3"] | None
    """Of the video that is separated, where a query needed them; in order of time."""
    frame_times_seconds: tuple[float, ...]

    def ask(self, model: Any, log_magnitude: Float[Tensor, "B 1 256 T"]) -> MaskOutput:
        """The model's masks, one a query, in the queries' order; it runs once for vectors and once for regions, where there are any.

        Logits are dropped where one of two runs has none. Of two runs the bottleneck is the same, and left out.
        """
        outputs: list[MaskOutput] = []
        if len(self.vectors):
            vectors = self.vectors.expand(len(log_magnitude), -1, -1)
            outputs.append(model(log_magnitude, QueryEmbedding(vectors=vectors)))
        if self.regions is not None:
            regions = self.regions.expand(len(log_magnitude), *([-1] * self.regions.ndim))
            outputs.append(model(log_magnitude, QueryEmbedding(regions=regions)))
        if len(outputs) == 1:
            return outputs[0]
        order = list(self.order)
        logits = [output.logits for output in outputs if output.logits is not None]
        return MaskOutput(
            masks=torch.cat([output.masks for output in outputs], dim=1)[:, order],
            logits=torch.cat(logits, dim=1)[:, order] if len(logits) == len(outputs) else None,
        )


def embed_queries(
    encoder: SharedEncoder,
    queries: Sequence[Query],
    *,
    source: Path | None = None,
    reads_regions: bool = False,
    device: torch.device | str = "cpu",
) -> EmbeddedQueries:
    """Embed queries; nothing is decoded unless one of them needs it.

    Args:
        encoder: the model's.
        queries: of any kind, mixed.
        source: the file that is separated, which places lie in; None for sound in memory.
        reads_regions: whether the model takes a video as the regions of its frames rather than as their mean.
        device: where the embeddings are put.

    Raises:
        QueryError: a place that is not in the picture, a time after the end, a place or video where there is no picture.
        MediaError: a file that cannot be read.
    """
    watched = _Watched(encoder, source, queries)
    vectors: list[Tensor] = []
    regions: list[Tensor] = []
    for query in queries:
        if query.video is not None and reads_regions:
            regions.append(watched.video_grids(query))
        else:
            vectors.append(_vector(encoder, watched, query))
    is_regions = [query.video is not None and reads_regions for query in queries]
    stacked = sorted(range(len(queries)), key=is_regions.__getitem__)
    return EmbeddedQueries(
        vectors=torch.stack(vectors).float().to(device) if vectors else torch.zeros(0, encoder.dim, device=device),
        regions=torch.stack(regions).float().to(device) if regions else None,
        order=tuple(stacked.index(number) for number in range(len(queries))),
        frames=watched.frames if watched.times_seconds else None,
        frame_times_seconds=watched.times_seconds,
    )


def _vector(encoder: SharedEncoder, watched: "_Watched", query: Query) -> Float[Tensor, "D"]:
    """One query as one vector."""
    if query.text is not None:
        return encode_query_text(encoder, query.text)
    if query.image is not None:
        return encoder.encode_image([query.image])[0]
    if query.place is None:
        return encoder.encode_image(list(watched.video_frames(query))).mean(dim=0)
    return watched.box(query.place, query) if query.place.is_box else watched.region(query.place, query)


class _Watched:
    """The file that is separated, as far as queries look at it: the frames for all of them are read together, once."""

    def __init__(self, encoder: SharedEncoder, source: Path | None, queries: Sequence[Query]) -> None:
        """Check places and times against the file; frames are read later."""
        self._encoder, self._source = encoder, source
        self._spread: tuple[float, ...] = ()
        for query in queries:
            if query.place is not None:
                check_place(query.place, f"query '{query.name}'")
        looking = [query for query in queries if query.place is not None or self._is_source(query)]
        times: set[float] = set()
        if looking:
            info = _probe_picture(source, looking[0])
            self._spread = _spread_seconds(info)
            for query in looking:
                times.update(self._times_of(query.place))
                self._check_time(query, info)
        self.times_seconds = tuple(sorted(times))

    @cached_property
    def frames(self) -> UInt8[np.ndarray, "_ _ _ 3"]:
        """The frames at `times_seconds`, in their full size."""
        assert self._source is not None, "only a file is looked at"
        return read_frames(self._source, self.times_seconds)

    def region(self, place: Place, query: Query) -> Float[Tensor, "D"]:
        """Mean embedding, over the frames, of the cell that holds a point."""
        rows, columns = self._grids.shape[1:3]
        height, width = self.frames.shape[1:3]
        row, column = cell_of(place, (height, width), (rows, columns), self._label(query))
        return self._grids[self._indices(place), row, column].mean(dim=0)

    def box(self, place: Place, query: Query) -> Float[Tensor, "D"]:
        """Mean embedding, over the frames, of what a box cuts out, as a picture of its own."""
        cuts = [crop(self.frames[index], place, self._label(query)) for index in self._indices(place)]
        return self._encoder.encode_image(cuts).mean(dim=0)

    def video_frames(self, query: Query) -> UInt8[np.ndarray, "K _ _ 3"]:
        """The frames of a video query, which may be the file that is separated."""
        if self._is_source(query):
            return self.frames[self._indices(None)]
        info = _probe_picture(query.video, query)
        return read_frames(info.path, _spread_seconds(info))

    def video_grids(self, query: Query) -> Float[Tensor, "K 7 7 D"]:
        """The region embeddings of a video query's frames."""
        if self._is_source(query):
            return self._grids[self._indices(None)]
        return self._encoder.encode_regions(list(self.video_frames(query)))

    @cached_property
    def _grids(self) -> Float[Tensor, "_ 7 7 D"]:
        return self._encoder.encode_regions(list(self.frames))

    def _times_of(self, place: Place | None) -> tuple[float, ...]:
        """Where to look for a place, or for the whole picture."""
        return self._spread if place is None or place.time_seconds is None else (place.time_seconds,)

    def _indices(self, place: Place | None) -> list[int]:
        return [self.times_seconds.index(time_seconds) for time_seconds in self._times_of(place)]

    def _is_source(self, query: Query) -> bool:
        """Whether a video query is the file that is separated."""
        return query.video is not None and self._source is not None and Path(query.video).resolve() == self._source.resolve()

    def _label(self, query: Query) -> str:
        """How an error begins."""
        return f"{self._source}: query '{query.name}'" if self._source is not None else f"query '{query.name}'"

    def _check_time(self, query: Query, info: MediaInfo) -> None:
        """Refuse a time after the end."""
        time_seconds = None if query.place is None else query.place.time_seconds
        if time_seconds is not None and time_seconds > info.duration_seconds:
            raise QueryError(f"{self._label(query)} looks at {time_seconds:g} s, but the file ends at {info.duration_seconds:g} s")


def _probe_picture(path: Path | None, query: Query) -> MediaInfo:
    """What is in a file with a picture; QueryError for a sound without one."""
    if path is None:
        raise QueryError(f"query '{query.name}' points into a picture, and a sound in memory has none: give a video file, or ask in words")
    info = probe(path)
    if not info.video:
        raise QueryError(f"{path}: holds no picture for query '{query.name}' to look at; give a video, or ask in words")
    return info


def _spread_seconds(info: MediaInfo) -> tuple[float, ...]:
    """The middles of equal parts of the picture's duration."""
    end_seconds = info.video[0].duration_seconds or info.duration_seconds
    return tuple((number + 0.5) / _NUM_FRAMES * end_seconds for number in range(_NUM_FRAMES))
