"""Queries in the form that a model reads: the encoder maps words, pictures, videos and places of a video to embeddings.

Words are filled into prompt templates whose embeddings are averaged; a picture is embedded as it is. For a place or a
video, the raw embeddings of a few frames are averaged: those of the grid cell that holds a point, of the crop that a
box cuts out (VAST, Table 9), or of the whole frame. There are exceptions. A model that reads regions gets every
cell of a video's frames (VAST, Eq. 4), a model with an image network of its own gets the frames (Sound of Pixels) or
the boxes in them (Co-Separation), and a model that learned labels gets the number of the label that the query names.
This module knows nothing of sound.
"""

import difflib
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from trisep.checkpoints.format import Checkpoint
from trisep.encoders import SharedEncoder, encode_query_text, load_encoder
from trisep.encoders.lite import LiteEncoder
from trisep.encoders.resnet import square_frames
from trisep.errors import CheckpointError, QueryError
from trisep.media.image import read_image
from trisep.media.times import read_seconds
from trisep.queries.boxes import NOTHING_DETECTED, WHOLE_PICTURE, Cut, DetectedBox, as_tensors, cut_out, find_boxes
from trisep.queries.kept import kept
from trisep.queries.regions import box_query, place_entry, region_query
from trisep.queries.video import QueryFrames, probe_picture
from trisep.types import MaskOutput, Query, QueryEmbedding

_AND = re.compile(r"\s+(?:and|&)\s+|\s*\+\s*", re.IGNORECASE)


def as_queries(queries: Sequence[str | Query]) -> list[Query]:
    """Turn words into queries of that name; a name that comes twice gets the suffix `_2`.

    Raises QueryError when there is no query, or an empty one.
    """
    if isinstance(queries, str | Query):
        raise QueryError(f"queries must be a list, for example [{queries!r}]")
    wanted: list[Query] = []
    for query in queries:
        query = query if isinstance(query, Query) else Query(query, text=query)
        wanted.append(replace(query, name=unused_name(query.name, {other.name for other in wanted})))
    if not wanted:
        raise QueryError('nothing to separate: give at least one query, for example "violin"')
    return wanted


def unused_name(name: str, taken: Collection[str], *, key: Callable[[str], str] = str) -> str:
    """Return `name`, or `name` with the first of the suffixes `_2`, `_3` … that gives a name whose key is not taken."""
    candidate, number = name, 1
    while key(candidate) in taken:
        number += 1
        candidate = f"{name}_{number}"
    return candidate


def queries_from_options(
    texts: Sequence[str] = (),
    *,
    images: Sequence[Path] = (),
    regions: Sequence[str] = (),
    boxes: Sequence[str] = (),
    videos: Sequence[Path] = (),
    sounds: Sequence[Path] = (),
    spans: Sequence[str] = (),
) -> list[Query]:
    """Make queries from the options of a command line: words, files, points, boxes, and spans such as "3.0-4.5"."""
    queries = [Query(text, text=text) for text in texts]
    queries += [Query(path.stem, image=read_image(path)) for path in images]
    queries += [region_query(text) for text in regions] + [box_query(text) for text in boxes]
    queries += [video_query(path) for path in videos] + [Query(path.stem, sound=path) for path in sounds]
    return queries + [span_query(text) for text in spans]


def span_query(text: str) -> Query:
    """Make the query for what is heard in a span: two times, as in "3.0-4.5" or "1:03-1:04.5".

    QueryError for other words.
    """
    begin, dash, end = (part.strip() for part in text.partition("-"))
    try:
        if not dash or "e" in text.casefold():
            raise ValueError("one time, or a power of ten")
        span = (read_seconds(begin), read_seconds(end))
    except ValueError:
        raise QueryError(
            f"--when {text!r}: expected two times in seconds, such as 3.0-4.5, or with minutes, as 1:03-1:04.5"
        ) from None
    return Query(f"{begin}-{end}{'' if ':' in text else ' s'}", span=span)


def video_query(path: Path) -> Query:
    """Make the query for what the whole picture of a video shows; its name is the file's.

    Raises MediaError when the file cannot be read, and QueryError when it has no picture.
    """
    query = Query(path.stem, video=path)
    probe_picture(path, query)
    return query


def query_entry(query: Query) -> dict[str, Any]:
    """Return what report.json says of a query: its kind and, for a point or a box, the place."""
    if query.place is not None:
        return {"kind": "box" if query.place.is_box else "region", "place": place_entry(query.place)}
    if query.parts is not None:
        return {"kind": "all_of", "parts": [part.name for part in query.parts]}
    if query.span is not None:
        return {"kind": "span", "span_seconds": list(query.span)}
    kinds = ("text", "image", "video", "sound", "vector")
    return {"kind": next(kind for kind in kinds if getattr(query, kind) is not None)}


@dataclass(frozen=True, slots=True)
class EmbeddedQueries:
    """Queries in the form that a model reads, and the frames that they were embedded from."""

    vectors: Float[Tensor, "V D"]
    """Embeddings of the queries that are one vector each, in the queries' order."""
    order: tuple[int, ...]
    """For each query, its position in the list of `vectors` followed by `regions`."""
    regions: Float[Tensor, "R K 7 7 D"] | None = None
    """Region embeddings of the other queries, in the queries' order; None where there are none."""
    pictures: UInt8[Tensor, "P K 3 224 224"] | None = None
    """Frames of all queries, for a model with an image network of its own; then there are no vectors."""
    label_ids: Int[Tensor, "L"] | None = None
    """Label numbers of all queries, for a model that learned labels; then there are no vectors."""
    boxes: dict[str, Tensor] | None = None
    """Fields of `QueryEmbedding` without the batch, of all queries, for a model of boxes; then there are no vectors."""
    frames: UInt8[np.ndarray, "_ _ _ 3"] | None = None
    """Frames of the separated video, in order of time; None where no query needed them."""
    frame_times_seconds: tuple[float, ...] = ()

    def ask(self, model: Any, log_magnitude: Float[Tensor, "B 1 256 T"]) -> MaskOutput:
        """Return the model's masks, one per query, in the queries' order; the model runs once for each form of query.

        Logits are dropped where one of two runs has none. The bottleneck, which does not depend on the query, is left
        out where the model ran twice.
        """
        single = {"vectors": self.vectors if len(self.vectors) else None, "regions": self.regions}
        single |= {"frames": self.pictures, "label_ids": self.label_ids}
        forms = [{name: values} for name, values in single.items() if values is not None]
        forms += [] if self.boxes is None else [self.boxes]
        outputs: list[MaskOutput] = [
            model(
                log_magnitude,
                QueryEmbedding(
                    **{name: values.expand(len(log_magnitude), *values.shape) for name, values in form.items()}
                ),
            )
            for form in forms
        ]
        if len(outputs) == 1:
            return outputs[0]
        order = list(self.order)
        logits = [output.logits for output in outputs if output.logits is not None]
        return MaskOutput(
            masks=torch.cat([output.masks for output in outputs], dim=1)[:, order],
            logits=torch.cat(logits, dim=1)[:, order] if len(logits) == len(outputs) else None,
        )


def embed_queries_for(
    checkpoint: Checkpoint,
    encoder: SharedEncoder,
    queries: Sequence[Query],
    *,
    source: Path | None = None,
    device: torch.device | str = "cpu",
) -> EmbeddedQueries:
    """Bring queries into the form that a checkpoint's model reads; arguments and errors are those of `embed_queries`.

    Raises QueryError also for a query that the model cannot read: words or a point where it has an image network of its
    own, anything but one of its labels where it learned labels.
    """
    reads = checkpoint.model.contract.reads
    if reads == "labels":
        ids = torch.tensor([label_id(checkpoint, query) for query in queries], device=device)
        return EmbeddedQueries(torch.zeros(0, encoder.dim, device=device), tuple(range(len(queries))), label_ids=ids)
    if reads in ("frames", "cuts", "boxes"):
        return _as_pictures(checkpoint, encoder, queries, source, device)
    return embed_queries(encoder, queries, source=source, reads_regions=reads == "regions", device=device)


def labels_of(checkpoint: Checkpoint) -> list[str]:
    """Return the names of the labels that a model learned.

    Raises CheckpointError when the checkpoint's config lists none.
    """
    if not (labels := checkpoint.card.get("labels")):
        raise CheckpointError(
            f"{checkpoint.path / 'config.json'}: lists no labels, which are this model's queries; train again"
        )
    return list(labels)


def label_id(checkpoint: Checkpoint, query: Query) -> int:
    """Return the number of the label that a query names, whatever its capitals.

    Raises QueryError when the query is not in words, or names no label of the model.
    """
    labels = labels_of(checkpoint)
    if query.text is None:
        raise QueryError(
            f"query '{query.name}': this model knows labels only; give a label in words, for example '{labels[0]}'"
        )
    numbers = {label.casefold(): number for number, label in enumerate(labels)}
    wanted = query.text.strip().casefold()
    if wanted not in numbers:
        nearest = difflib.get_close_matches(wanted, numbers, n=3) or sorted(numbers)[:3]
        names = ", ".join(f"'{labels[numbers[name]]}'" for name in nearest)
        raise QueryError(
            f"query '{query.name}': this model knows its {len(labels)} labels only; the nearest are {names}"
        )
    return numbers[wanted]


def _as_pictures(
    checkpoint: Checkpoint,
    encoder: SharedEncoder,
    queries: Sequence[Query],
    source: Path | None,
    device: torch.device | str,
) -> EmbeddedQueries:
    """Return the queries' frames, for a model with an image network of its own, or the boxes in them.

    A query with fewer frames than another repeats its own, which changes no maximum over frames. A model of boxes gets
    those that `lite` finds in a video; a picture, or what a box cuts out of the frames, is one box a frame as it is.
    """
    query_frames = QueryFrames(encoder, source, queries)
    for query in queries:
        is_point = query.place is not None and not query.place.is_box
        if query.text is not None or query.vector is not None or is_point:
            kind = "a point" if is_point else "words"
            raise QueryError(
                f"query '{query.name}': {checkpoint.model_name} learned from whole pictures only and cannot read "
                f"{kind}; give --image, --video or --box, or choose another --model"
            )
    reads, boxes, pictures = checkpoint.model.contract.reads, None, None
    if reads == "frames":
        squares = [
            kept(key and ("squares", key), partial(_squares_of, query, query_frames))
            for query, key in zip(queries, map(query_frames.key, queries), strict=True)
        ]
        most = max(len(frames) for frames in squares)
        pictures = torch.stack([frames[torch.arange(most) % len(frames)] for frames in squares]).to(device)
    else:
        most = checkpoint.model.config.num_boxes
        cuts = [
            kept(key and ("cuts", most, key), partial(_cuts_of, query, query_frames, most))
            for query, key in zip(queries, map(query_frames.key, queries), strict=True)
        ]
        boxes = {name: one.to(device) for name, one in as_tensors(cuts, None if reads == "cuts" else encoder).items()}
    times = query_frames.times_seconds
    return EmbeddedQueries(
        torch.zeros(0, encoder.dim, device=device),
        tuple(range(len(queries))),
        pictures=pictures,
        boxes=boxes,
        frames=query_frames.frames if times else None,
        frame_times_seconds=times,
    )


def _squares_of(query: Query, query_frames: QueryFrames) -> UInt8[Tensor, "K 3 224 224"]:
    """Return the frames of a query in the size that image networks read."""
    return square_frames(query_frames.shown(query))


def _cuts_of(query: Query, query_frames: QueryFrames, most: int) -> list[Cut]:
    """Return what boxes cut out of the frames of a query: `lite` looks for them in a video alone."""
    frames = query_frames.shown(query)
    return cut_out(frames, _boxes_in(frames, most if query.video is not None else 0), most)


def _boxes_in(frames: Sequence[UInt8[np.ndarray, "_ _ 3"]], max_boxes: int) -> list[list[DetectedBox]]:
    """Return what `lite` finds in each frame, or the whole of each frame as one box where `max_boxes` is 0."""
    if not max_boxes:
        return [[DetectedBox(WHOLE_PICTURE, NOTHING_DETECTED, 1.0)] for _ in frames]
    lite = load_encoder("lite")
    assert isinstance(lite, LiteEncoder)
    return [find_boxes(lite, frame, max_boxes) for frame in frames]


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
        encoder: the encoder that the model was trained with.
        queries: queries of any kinds, mixed.
        source: the file that is separated, which places refer to; None for sound in memory.
        reads_regions: whether the model takes a video as the regions of its frames rather than as their mean.
        device: the device that the embeddings are put on.

    Raises:
        QueryError: a place is not in the picture, a time lies after the end, or a place or video query has no picture.
        MediaError: a file cannot be read.
    """
    query_frames = QueryFrames(encoder, source, queries)
    vectors: list[Tensor] = []
    regions: list[Tensor] = []
    for query in queries:
        if query.video is not None and reads_regions:
            regions.append(query_frames.video_grids(query))
        else:
            vectors.append(_vector(encoder, query_frames, query))
    is_regions = [query.video is not None and reads_regions for query in queries]
    stacked = sorted(range(len(queries)), key=is_regions.__getitem__)
    return EmbeddedQueries(
        vectors=torch.stack(vectors).float().to(device) if vectors else torch.zeros(0, encoder.dim, device=device),
        regions=torch.stack(regions).float().to(device) if regions else None,
        order=tuple(stacked.index(number) for number in range(len(queries))),
        frames=query_frames.frames if query_frames.times_seconds else None,
        frame_times_seconds=query_frames.times_seconds,
    )


def _vector(encoder: SharedEncoder, query_frames: QueryFrames, query: Query) -> Float[Tensor, "D"]:
    """Embed one query as one vector."""
    if query.vector is not None:
        if query.vector.shape != (encoder.dim,):
            form = list(query.vector.shape)
            raise QueryError(f"query '{query.name}': a vector of the encoder's space is [{encoder.dim}], not {form}")
        return query.vector
    if query.text is not None:
        return encode_query_text(encoder, query.text)
    if query.place is not None and not query.place.is_box:
        return query_frames.region(query.place, query)
    return query_frames.vector(query)


def split_words(query: Query) -> Query:
    """Return a query in words that are joined by "and", "&" or "+" as one of several parts, any other as it is."""
    words = [] if query.text is None else [part.strip(" ,") for part in _AND.split(query.text)]
    if len(words) < 2 or not all(any(letter.isalnum() for letter in part) for part in words):
        return query
    return Query(query.name, parts=tuple(Query(part, text=part) for part in words))


def all_of(queries: Sequence[Query]) -> Query:
    """Return one query of all of these; its name is theirs, joined by "and"."""
    return Query(" and ".join(query.name for query in queries), parts=tuple(queries))


def flattened(queries: Sequence[Query]) -> tuple[list[Query], list[list[int]]]:
    """Return the parts of all queries in one list, and where each query's parts stand."""
    parts: list[Query] = []
    groups: list[list[int]] = []
    for query in queries:
        group, _ = flattened(query.parts) if query.parts is not None else ([query], [])
        groups.append(list(range(len(parts), len(parts) + len(group))))
        parts += group
    return parts, groups
