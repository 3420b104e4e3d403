"""Boxes in a clip store: what a detector found in each frame, its class, and the embedding of what the box cuts out.

The verb `embed` calls this module. Frames in which nothing was found have no box.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int, UInt8
from rich.progress import Progress

from trisep.encoders import SharedEncoder, load_encoder
from trisep.encoders.lite import LiteEncoder
from trisep.errors import ConfigError, StoreError
from trisep.media.files import sha256_of
from trisep.queries.boxes import DEFAULT_MAX_BOXES, BoxList, DetectedBox, boxes_at, find_boxes, lite_labels
from trisep.queries.regions import crop
from trisep.store.embeddings import map_embeddings, read_embedding_header, write_embeddings
from trisep.store.layout import box_path
from trisep.store.read import ClipStore

_BATCH_CUTS = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class BoxSettings:
    """Where the boxes come from."""

    source: str = "lite"
    """`lite`, or the CSV of a detector (see `queries/boxes.py`)."""
    max_boxes: int = DEFAULT_MAX_BOXES
    """Boxes of a frame that are kept, the surest ones."""

    def __post_init__(self) -> None:
        """Check the range."""
        if self.max_boxes < 1:
            raise ConfigError(f"--max-boxes: expected at least 1, got {self.max_boxes}")

    def require_list(self) -> None:
        """Raise MediaError, before any work, where the detector's list cannot be read."""
        if self.source != "lite":
            BoxList(Path(self.source))


@dataclass(frozen=True, slots=True)
class _Detector:
    """A source of boxes, opened."""

    entry: dict[str, Any]
    """What the files say of it: `source`, `max_boxes` and the `names` of the classes."""
    detect: Callable[[ClipStore, int, np.ndarray], list[list[DetectedBox]]]
    """Function of (store, clip, frames) that returns the boxes of each frame."""


def write_boxes(
    clips: ClipStore, encoder: SharedEncoder, settings: BoxSettings | None, progress: Progress, *, overwrite: bool
) -> None:
    """Find and write the boxes of all shards that have none; `progress` counts the clips. Without settings do nothing.

    Raises StoreError where a shard has boxes of another source and `overwrite` is False, MediaError for a bad list.
    """
    if settings is None:
        return
    detector = _open(settings)
    waiting = [
        number
        for number in range(len(clips.manifest.shards))
        if not _is_done(clips, number, encoder, detector, overwrite)
    ]
    task = progress.add_task("boxes", total=sum(clips.manifest.shards[number].num_clips for number in waiting))
    for number in waiting:
        shard = clips.manifest.shards[number]
        write_embeddings(
            box_path(clips.path, shard.name, encoder.name),
            _box_tensors(clips, number, encoder, detector, lambda: progress.advance(task)),
            encoder=encoder.name,
            fingerprint=encoder.fingerprint,
            shard_sha256=shard.sha256,
            settings=detector.entry,
        )


def _open(settings: BoxSettings) -> _Detector:
    """Open the source of boxes."""
    if settings.source == "lite":
        lite = load_encoder("lite")
        assert isinstance(lite, LiteEncoder)
        entry = {
            "source": f"lite {lite.fingerprint}",
            "max_boxes": settings.max_boxes,
            "names": list(lite_labels(lite)),
        }
        return _Detector(entry, lambda _, __, frames: [find_boxes(lite, frame, settings.max_boxes) for frame in frames])
    file = Path(settings.source)
    found = BoxList(file)
    entry = {"source": f"list {sha256_of(file)}", "max_boxes": settings.max_boxes, "names": list(found.labels)}

    def listed(store: ClipStore, clip: int, frames: np.ndarray) -> list[list[DetectedBox]]:
        """Look the clip's file up, at the time of each frame in it."""
        start = store.entries[clip].start_seconds
        times = [start + seconds for seconds in store.frame_times(clip)]
        return boxes_at(found.of(store.source(clip)), times, settings.max_boxes)

    return _Detector(entry, listed)


def _is_done(clips: ClipStore, number: int, encoder: SharedEncoder, detector: _Detector, overwrite: bool) -> bool:
    """Return whether a shard has these boxes; StoreError where it has others and `overwrite` is False."""
    shard = clips.manifest.shards[number]
    path = box_path(clips.path, shard.name, encoder.name)
    if not path.is_file():
        return False
    try:
        info = read_embedding_header(path)[0]
    except StoreError:
        if overwrite:
            return False
        raise
    wanted = (encoder.fingerprint, shard.sha256, detector.entry)
    if (info.fingerprint, info.shard_sha256, info.settings) == wanted:
        return True
    if overwrite:
        return False
    raise StoreError(
        f"{path}: holds boxes of another source, shard, or version of '{encoder.name}'; add --overwrite to replace them"
    )


def _box_tensors(
    clips: ClipStore, number: int, encoder: SharedEncoder, detector: _Detector, on_clip: Callable[[], None]
) -> dict[str, np.ndarray]:
    """Return the tensors of one shard (see `store/embeddings.py`)."""
    numbers = {name: index for index, name in enumerate(detector.entry["names"])}
    places: list[tuple[float, ...]] = []
    labels, rows, vectors, row = [], [], [np.zeros((0, encoder.dim), np.float32)], 0
    for clip in clips.entries.clips_of(number):
        frames = clips.read_frames(clip)
        found = detector.detect(clips, clip, frames)
        cuts = []
        for frame, boxes in zip(frames, found, strict=True):
            for box in boxes:
                place = box.place
                cuts.append(crop(frame, place, f"{clips.source(clip)}: box of {box.label}"))
                places.append((place.x, place.y, place.width, place.height))
                labels.append(numbers[box.label])
                rows.append(row)
            row += 1
        vectors += list(_embedded(encoder, cuts))
        on_clip()
    return {
        "vectors": np.concatenate(vectors),
        "places": np.array(places, np.float32).reshape(-1, 4),
        "labels": np.array(labels, np.int32),
        "frames": np.array(rows, np.int32),
    }


def _embedded(
    encoder: SharedEncoder, cuts: Sequence[UInt8[np.ndarray, "_ _ 3"]]
) -> Iterator[Float32[np.ndarray, "n D"]]:
    """Yield the embeddings of pictures, a batch at a time."""
    for start in range(0, len(cuts), _BATCH_CUTS):
        yield encoder.encode_image(list(cuts[start : start + _BATCH_CUTS])).float().cpu().numpy()


@dataclass(frozen=True, slots=True)
class StoredBoxes:
    """All boxes of a store, by frame, the surest of a frame first."""

    names: tuple[str, ...]
    """Names of the detector's classes."""
    frames: Int[np.ndarray, "n"]
    """Row of each box's frame, as `ClipStore.frame_slice` counts them."""
    labels: Int[np.ndarray, "n"]
    places: Float32[np.ndarray, "n 4"]
    """Left, top, width and height as shares of the picture."""
    vectors: Float32[np.ndarray, "n D"]

    def of(self, frame: int) -> Int[np.ndarray, "_"]:
        """Return the boxes of a frame, by number."""
        return np.arange(*np.searchsorted(self.frames, (frame, frame + 1)))


def load_boxes(store: ClipStore, encoder_name: str) -> StoredBoxes:
    """Load all boxes; StoreError when they are missing, damaged, of several sources, or of other embeddings."""
    paths = store.paths_beside(encoder_name, box_path, what="boxes", option="--boxes lite")
    parts = [map_embeddings(path) for path in paths]
    ends = np.cumsum([0, *(shard.num_frames for shard in store.manifest.shards)])
    joined = {name: np.concatenate([part[name] for part in parts]) for name in ("labels", "places", "vectors")}
    frames = np.concatenate([part["frames"] + end for part, end in zip(parts, ends, strict=False)])
    names = read_embedding_header(paths[0])[0].settings.get("names", ())
    found = StoredBoxes(names=tuple(names), frames=frames, **joined)
    ordered = (np.diff(frames) >= 0).all() and ((frames >= 0) & (frames < ends[-1])).all()
    if not ordered or not all(0 <= label < len(names) for label in np.unique(found.labels)):
        raise StoreError(f"{store.path}: its boxes are damaged; run `trisep embed` with --boxes and --overwrite again")
    return found
