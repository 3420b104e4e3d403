"""The query for each source of a mixture: words, pictures, a video or a place in it, in the form that the model reads.

The table shows, for each form and each `--query`, what the model gets:

    model reads …     text                       image, video                                  region
    vectors           words, by the templates    mean embedding of K frames                    embedding of the place
    regions (VAST)    words                      image: as above; video: all cells of K frames embedding of the place
    frames            –                          K frames                                      –
    label ids         the label                  –                                             –
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from trisep.checkpoints.format import Checkpoint
from trisep.encoders import encode_query_text, load_encoder
from trisep.encoders.resnet import square_frames
from trisep.errors import ConfigError, QueryError
from trisep.evaluation.sounds import bounds_seconds
from trisep.media.probe import probe
from trisep.media.video import read_frames
from trisep.protocols import Protocol, ProtocolSource
from trisep.queries.embed import embed_queries, label_id
from trisep.types import Place, Query, QueryEmbedding


def embed_sources(
    checkpoint: Checkpoint, sources: Sequence[ProtocolSource], query: str, protocol: Protocol, *, device: str = "cpu"
) -> QueryEmbedding:
    """Return the queries for all sources of a mixture (B = 1), on `device`.

    Raises:
        ConfigError: the model cannot read this kind of query, or the protocol has no place for a source.
        MediaError: a file cannot be read.
        QueryError: a file has no picture, or a label is not one of the model's.
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
    if query == "video" and reads == "regions":
        regions = [_regions(checkpoint.encoder, *_pictures(source, protocol)) for source in sources]
        return QueryEmbedding(regions=torch.stack(regions)[None].float().to(device))
    vectors = [_vector(checkpoint.encoder, source, query, protocol) for source in sources]
    return QueryEmbedding(vectors=torch.stack(vectors)[None].to(device))


def _vector(encoder: str, source: ProtocolSource, query: str, protocol: Protocol) -> Float[Tensor, "D"]:
    if query == "text":
        return _text(encoder, source.query or source.label, protocol.templates)
    if query == "region":
        if source.place is None:
            raise ConfigError(
                f"protocol '{protocol.name}' does not say where a source is in the picture, which --query region needs"
            )
        return _region(encoder, source.picture or source.path, source.place)
    return _mean(encoder, *_pictures(source, protocol))


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
def _text(encoder: str, label: str, templates: tuple[str, ...]) -> Float[Tensor, "D"]:
    return encode_query_text(load_encoder(encoder), label, templates)


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
