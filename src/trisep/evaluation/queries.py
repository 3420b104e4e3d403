"""The query for each source of a mixture: words, pictures, a video, a place in it or a sound, in the form it is read.

The table shows, for each form and each `--query`, what the model gets:

    model reads …    text                    image, video                                region         boxes
    vectors          words, by the templates mean embedding of K frames                  the place's    their mean
    regions (VAST)   words                   image: as above; video: all cells of them   the place's    all
    frames           –                       K frames                                    –              –
    cuts, boxes      –                       –                                           –              all
    label ids        the label               –                                           –              –

Boxes are those of a detector's list, or what `lite` finds in the K frames; each is embedded as a picture of its own.
A sound (`evaluation/examples.py`) is a vector for the first two and nothing for the others.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from trisep.checkpoints.format import Checkpoint
from trisep.encoders import encode_query_text, load_encoder
from trisep.encoders.lite import LiteEncoder
from trisep.encoders.resnet import square_frames
from trisep.errors import ConfigError, QueryError
from trisep.evaluation.examples import Examples, example_for, sound_vector
from trisep.evaluation.sounds import bounds_seconds
from trisep.media.probe import probe
from trisep.media.video import read_frames
from trisep.protocols import Protocol, ProtocolMixture, ProtocolSource
from trisep.queries.boxes import DEFAULT_MAX_BOXES, BoxList, DetectedBox, as_tensors, boxes_at, cut_out, find_boxes
from trisep.queries.embed import embed_queries, label_id
from trisep.queries.understanding import reasons_not_understood
from trisep.types import Place, Query, QueryEmbedding


def embed_sources(
    checkpoint: Checkpoint,
    sources: Sequence[ProtocolSource],
    query: str,
    protocol: Protocol,
    *,
    boxes: Path | None = None,
    examples: Examples | None = None,
    device: str = "cpu",
) -> QueryEmbedding:
    """Return the queries for all sources of a mixture (B = 1), on `device`.

    `boxes` is the list of a detector, `examples` the recordings from which a sound is chosen.

    Raises:
        ConfigError: the model cannot read this kind of query, or the protocol has no place for a source.
        MediaError: a file cannot be read.
        QueryError: a file has no picture, a label is not one of the model's, or has no other recording.
    """
    reads = checkpoint.model.contract.reads
    if reads == "labels":
        _require(checkpoint, query, {"text"}, "labels")
        ids = [label_id(checkpoint, Query(source.label, text=source.label)) for source in sources]
        return QueryEmbedding(label_ids=torch.tensor([ids], device=device))
    if reads == "frames":
        _require(checkpoint, query, {"image", "video"}, "pictures")
        frames = [square_frames(list(read_frames(*_pictures(source, protocol)))) for source in sources]
        return QueryEmbedding(frames=torch.stack(frames)[None].to(device))
    if reads in ("cuts", "boxes"):
        _require(checkpoint, query, {"boxes"}, "boxes")
    if query == "boxes":
        found = _boxes(checkpoint, sources, protocol, boxes)
        if reads == "vectors":
            is_there = (found["box_labels"] >= 0).unsqueeze(-1)
            means = (found["box_vectors"] * is_there).sum(dim=1) / is_there.sum(dim=1)
            return QueryEmbedding(vectors=means[None].to(device))
        return QueryEmbedding(**{name: values[None].to(device) for name, values in found.items()})
    if query == "video" and reads == "regions":
        regions = [_regions(checkpoint.encoder, *_pictures(source, protocol)) for source in sources]
        return QueryEmbedding(regions=torch.stack(regions)[None].float().to(device))
    if query == "sound":
        heard = [sound_vector(checkpoint.encoder, example_for(source, examples or {})) for source in sources]
        return QueryEmbedding(vectors=torch.stack(heard)[None].float().to(device))
    vectors = [_vector(checkpoint.encoder, source, query, protocol) for source in sources]
    return QueryEmbedding(vectors=torch.stack(vectors)[None].to(device))


def words_not_understood(checkpoint: Checkpoint, mixtures: Iterable[ProtocolMixture]) -> list[str]:
    """Return the words of a list by which sources are asked for and that the model's encoder does not understand,
    sorted; none for a model that learned labels or whose encoder understands everything.
    """
    if checkpoint.encoder != LiteEncoder.name or checkpoint.model.contract.reads not in ("vectors", "regions"):
        return []
    words = sorted({source.query or source.label for mixture in mixtures for source in mixture.sources})
    reasons = reasons_not_understood(load_encoder(checkpoint.encoder), [Query(word, text=word) for word in words])
    return [word for word, reason in zip(words, reasons, strict=True) if reason is not None]


def _vector(encoder: str, source: ProtocolSource, query: str, protocol: Protocol) -> Float[Tensor, "D"]:
    if query == "text":
        return encode_query_text(load_encoder(encoder), source.query or source.label, protocol.templates)
    if query == "region":
        if source.place is None:
            raise ConfigError(
                f"protocol '{protocol.name}' does not say where a source is in the picture, which --query region needs"
            )
        return _region(encoder, source.picture or source.path, source.place)
    return _mean(encoder, *_pictures(source, protocol))


def _boxes(
    checkpoint: Checkpoint, sources: Sequence[ProtocolSource], protocol: Protocol, file: Path | None
) -> dict[str, Tensor]:
    """Return the fields of the boxes in the frames of each source, without the batch."""
    config = checkpoint.model.config
    per_frame = getattr(config, "num_boxes", DEFAULT_MAX_BOXES)
    cuts = []
    for source in sources:
        frames, found = _found(*_pictures(source, protocol), file, per_frame)
        cuts.append(cut_out(frames, found, getattr(config, "num_boxes", None)))
    reads_pictures = checkpoint.model.contract.reads == "cuts"
    return as_tensors(cuts, None if reads_pictures else load_encoder(checkpoint.encoder))


@lru_cache(maxsize=128)
def _found(
    path: Path, times_seconds: tuple[float, ...], file: Path | None, max_boxes: int
) -> tuple[list[UInt8[np.ndarray, "_ _ 3"]], list[list[DetectedBox]]]:
    """Read the frames of a video at some moments and the boxes in them."""
    frames = list(read_frames(path, times_seconds))
    if file is not None:
        return frames, boxes_at(_list(file).of(path), times_seconds, max_boxes)
    lite = load_encoder("lite")
    assert isinstance(lite, LiteEncoder)
    return frames, [find_boxes(lite, frame, max_boxes) for frame in frames]


@lru_cache(maxsize=1)
def _list(file: Path) -> BoxList:
    return BoxList(file)


def _pictures(source: ProtocolSource, protocol: Protocol) -> tuple[Path, tuple[float, ...]]:
    """Return the file that shows a source, and the times of the frames to read: around the middle of the segment."""
    path = source.picture or source.path
    if not probe(path).video:
        raise QueryError(f"{path}: holds no picture, which this --query needs; use --query text")
    signal = protocol.signal
    segment_seconds = None if protocol.whole_clips else signal.clip_samples / signal.sample_rate_hz
    begin, end = (0.0, probe(path).duration_seconds) if source.picture else bounds_seconds(source, segment_seconds)
    offsets = [number - protocol.num_frames // 2 for number in range(protocol.num_frames)]
    return path, tuple((begin + end) / 2 + offset * protocol.frame_spacing_seconds for offset in offsets)


@lru_cache(maxsize=1024)
def _mean(encoder: str, path: Path, times_seconds: tuple[float, ...]) -> Float[Tensor, "D"]:
    return load_encoder(encoder).encode_image(list(read_frames(path, times_seconds))).mean(dim=0)


@lru_cache(maxsize=128)
def _regions(encoder: str, path: Path, times_seconds: tuple[float, ...]) -> Float[Tensor, "K 7 7 D"]:
    return load_encoder(encoder).encode_regions(list(read_frames(path, times_seconds)))


@lru_cache(maxsize=1024)
def _region(encoder: str, path: Path, place: Place) -> Float[Tensor, "D"]:
    return embed_queries(load_encoder(encoder), [Query(path.stem, place=place)], source=path).vectors[0]


def _require(checkpoint: Checkpoint, query: str, possible: set[str], reads: str) -> None:
    if query not in possible:
        remedy = " or ".join(f"--query {one}" for one in sorted(possible))
        raise ConfigError(
            f"{checkpoint.path}: {checkpoint.model_name} reads {reads}, so it does not take --query {query}; use "
            f"{remedy}"
        )
