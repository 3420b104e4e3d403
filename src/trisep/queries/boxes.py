"""Boxes around the things of a picture, each with a class: read from a detector's list, or found by `lite`.

A list is a CSV with the columns `path`, `x`, `y`, `width`, `height` (the upper left corner and the size as shares of
the picture, 0 to 1), `label` and `score`, and optionally `time_seconds`, from the start of the file; a row without a
time holds for the whole file. This module decodes no video and runs no detector but `lite`.
"""

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from trisep.encoders import SharedEncoder
from trisep.encoders.lite import LiteEncoder
from trisep.encoders.resnet import square_frames
from trisep.errors import MediaError, QueryError
from trisep.media.tables import read_rows
from trisep.queries.kept import kept, picture_key
from trisep.queries.regions import check_place, crop
from trisep.types import Place

COLUMNS = ("path", "x", "y", "width", "height", "label", "score")
DEFAULT_MAX_BOXES = 4
"""Number of boxes of a frame, at most."""
_LEAST_PROBABILITY = 0.1
"""Probability, at its best location, below which a class is not taken for seen, unless it is the best of all."""
_LARGEST_OVERLAP = 0.5
"""Intersection over union with a surer box, above which a box is taken for the same thing."""
WHOLE_PICTURE = Place(0.0, 0.0, 1.0, 1.0)
NOTHING_DETECTED = "nothing detected"
"""Class of the one box of a picture in which no box was found: the whole picture."""


@dataclass(frozen=True, slots=True)
class DetectedBox:
    """A thing in a picture."""

    place: Place
    """Its box, in shares of the picture; the time is from the start of the file, None for all of it."""
    label: str
    score: float
    """How sure the detector is, 0 to 1."""


class BoxList:
    """The boxes of a detector's CSV, by file."""

    def __init__(self, file: Path) -> None:
        """Read the list; MediaError for a file that is no such list."""
        self._by_name: defaultdict[str, list[tuple[tuple[str, ...], DetectedBox]]] = defaultdict(list)
        for number, row in enumerate(read_rows(file, COLUMNS), start=2):
            parts = PurePath(row["path"]).parts
            if not parts:
                raise MediaError(f"{file}, row {number}: names no path; give the path of a clip")
            self._by_name[parts[-1]].append((parts, _box_of(row, f"{file}, row {number}")))
        self.labels = tuple(sorted({box.label for rows in self._by_name.values() for _, box in rows}))
        """Names of all classes, sorted."""

    def of(self, path: str | PurePath) -> list[DetectedBox]:
        """Return the boxes of the file whose path ends with that of a row, or the other way round; surest first."""
        parts = PurePath(path).parts
        found = [box for row, box in self._by_name.get(parts[-1], []) if _ends_alike(row, parts)]
        return sorted(found, key=lambda box: -box.score)


def boxes_at(boxes: Sequence[DetectedBox], times_seconds: Sequence[float], max_boxes: int) -> list[list[DetectedBox]]:
    """Return the boxes at each of some moments of a file: those of its nearest time that has any, surest first.

    A time more than a second away does not count. Boxes without a time are at every moment.
    """
    known = np.array(sorted({box.place.time_seconds for box in boxes if box.place.time_seconds is not None}))
    found = []
    for moment in times_seconds:
        nearest = known[np.abs(known - moment).argmin()] if len(known) else math.nan
        times = (None, float(nearest)) if abs(nearest - moment) <= 1 else (None,)
        found.append([box for box in boxes if box.place.time_seconds in times][:max_boxes])
    return found


def lite_labels(lite: LiteEncoder) -> tuple[str, ...]:
    """Return the names that `find_boxes` can give, the first of each class."""
    return tuple(dict.fromkeys(names[0] for names in lite.class_names))


def find_boxes(
    lite: LiteEncoder, frame: UInt8[np.ndarray, "H W 3"], max_boxes: int = DEFAULT_MAX_BOXES
) -> list[DetectedBox]:
    """Find what `lite` sees in a picture, from the surest on; at least one box.

    A box holds the connected locations (by their sides) around the best one of a class where the class has at least
    half of its probability there. This is ours: it stands in for a detector, and knows ImageNet's classes.
    """
    (probabilities,) = lite.class_probabilities([frame])
    return boxes_of_maps(probabilities.numpy(), [names[0] for names in lite.class_names], max_boxes)


def boxes_of_maps(probabilities: Float[np.ndarray, "C H W"], names: Sequence[str], max_boxes: int) -> list[DetectedBox]:
    """Turn the maps of the classes into boxes, as `find_boxes` says."""
    rows, columns = probabilities.shape[1:]
    peaks = probabilities.max(axis=(1, 2))
    found: list[DetectedBox] = []
    for number in np.argsort(-peaks, kind="stable"):
        if len(found) == max_boxes or (found and peaks[number] < _LEAST_PROBABILITY):
            break
        inside = np.argwhere(_around_best(probabilities[number], float(peaks[number]) / 2))
        (top, left), (bottom, right) = inside.min(axis=0), inside.max(axis=0) + 1
        share = Place(left / columns, top / rows, (right - left) / columns, (bottom - top) / rows)
        box = DetectedBox(share, names[number], float(peaks[number]))
        if all(box.label != other.label and _overlap(share, other.place) <= _LARGEST_OVERLAP for other in found):
            found.append(box)
    return found


def _around_best(values: Float[np.ndarray, "H W"], least: float) -> Bool[np.ndarray, "H W"]:
    """Mark the locations that reach `least` and are connected, by their sides, with that of the largest value."""
    reached = np.zeros((values.shape[0] + 2, values.shape[1] + 2), bool)
    inside = reached[1:-1, 1:-1]
    inside.flat[values.argmax()] = True
    while True:
        beside = reached[:-2, 1:-1] | reached[2:, 1:-1] | reached[1:-1, :-2] | reached[1:-1, 2:]
        new = beside & (values >= least) & ~inside
        if not new.any():
            return inside
        inside |= new


@dataclass(frozen=True, slots=True)
class Cut:
    """What a box cuts out of one of several frames."""

    picture: UInt8[np.ndarray, "_ _ 3"]
    frame: int
    label: str


def cut_out(
    frames: Sequence[UInt8[np.ndarray, "_ _ 3"]], found: Sequence[Sequence[DetectedBox]], max_cuts: int | None = None
) -> list[Cut]:
    """Cut the boxes found in each frame out of it: the surest of each class first, then second ones, up to `max_cuts`.

    Where nothing was found in any frame, the whole first frame is the one cut.
    """
    ranked = sorted((rank, frame) for frame, boxes in enumerate(found) for rank in range(len(boxes)))
    boxes = [(frame, found[frame][rank]) for rank, frame in ranked]
    boxes = boxes or [(0, DetectedBox(WHOLE_PICTURE, NOTHING_DETECTED, 0.0))]
    chosen = [boxes[number] for number in different_first([box.label for _, box in boxes])][:max_cuts]
    return [Cut(crop(frames[frame], box.place, box.label), frame, box.label) for frame, box in chosen]


def as_tensors(cuts: Sequence[Sequence[Cut]], encoder: SharedEncoder | None) -> dict[str, Tensor]:
    """Return the cuts of Q queries as fields of `QueryEmbedding`, without the batch: K is the largest number of cuts.

    These are `box_labels` [Q, K], numbered by query, `box_frames` [Q, K] and, with an encoder, `box_vectors` [Q, K, D],
    otherwise `frames` [Q, K, 3, 224, 224]. Where a query has fewer cuts, its first one is repeated, with the label −1.
    """
    most = max(len(one) for one in cuts)
    filled = [[*one, *[one[0]] * (most - len(one))] for one in cuts]
    labels = torch.full((len(cuts), most), -1)
    for row, one in zip(labels, cuts, strict=True):
        names = list(dict.fromkeys(cut.label for cut in one))
        row[: len(one)] = torch.tensor([names.index(cut.label) for cut in one])
    pictures = [[cut.picture for cut in one] for one in filled]
    content = (
        {"frames": torch.stack([square_frames(one) for one in pictures])}
        if encoder is None
        else {"box_vectors": torch.stack([_vectors(one, encoder) for one in pictures]).float()}
    )
    return {"box_labels": labels, "box_frames": torch.tensor([[cut.frame for cut in one] for one in filled]), **content}


def _vectors(pictures: Sequence[UInt8[np.ndarray, "_ _ 3"]], encoder: SharedEncoder) -> Float[Tensor, "K D"]:
    """Embed the cuts of a query, once however often it is asked."""
    return kept(("cuts", encoder, tuple(map(picture_key, pictures))), lambda: encoder.encode_image(pictures))


def different_first(labels: Sequence[Hashable]) -> list[int]:
    """Return the order in which the first box of every label comes before a second box of any."""
    first = {label: number for number, label in reversed(list(enumerate(labels)))}
    return sorted(range(len(labels)), key=lambda number: (first[labels[number]] != number, number))


def _box_of(row: dict[str, str], where: str) -> DetectedBox:
    """Read one row; MediaError where it holds no box within the picture."""
    try:
        x, y, width, height, score = (float(row[name]) for name in ("x", "y", "width", "height", "score"))
        time_text = row.get("time_seconds", "")
        place = Place(x, y, width, height, time_seconds=float(time_text) if time_text else None)
    except ValueError as error:
        raise MediaError(
            f"{where}: {error}; expected numbers in x, y, width, height, score and time_seconds"
        ) from error
    if not (0 <= score <= 1 and row["label"].strip() and place.is_box):
        raise MediaError(f"{where}: expected a label, a score of 0 to 1, and a width and height above 0")
    try:
        check_place(place, f"{where}: the box")
    except QueryError as error:
        raise MediaError(str(error)) from error
    return DetectedBox(place, row["label"].strip(), score)


def _ends_alike(one: Sequence[str], other: Sequence[str]) -> bool:
    """Return whether one path is the end of the other."""
    length = min(len(one), len(other))
    return tuple(one[-length:]) == tuple(other[-length:])


def _overlap(one: Place, other: Place) -> float:
    """Return the intersection over the union of two boxes."""
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    shared = max(0.0, width) * max(0.0, height)
    return shared / (one.width * one.height + other.width * other.height - shared)
