"""`trisep embed`: the frames of a clip store → one embedding per frame, so that no frozen encoder runs while training.

On demand it also makes one latent caption per clip, searched for from the embedding of the clip's middle frame, and
finds boxes around the things in each frame. A
shard's embeddings are a pure function of the shard and the encoder; its captions are a pure function of these
embeddings and the settings of the search. They are written beside the shard, one shard at a time, and moved into place
when complete, so a run that was killed continues with the shard it was working on.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from rich.console import Console
from rich.progress import Progress

from trisep.encoders import SharedEncoder, load_encoder
from trisep.errors import StoreError
from trisep.media.files import remove_leftovers, require_place
from trisep.media.lock import locked
from trisep.queries.captions import CaptionSettings
from trisep.store.bars import counting_bar
from trisep.store.boxes import BoxSettings, write_boxes
from trisep.store.captions import find_uncaptioned, found_cosines, open_once, show_captions, write_captions
from trisep.store.cluster import Elsewhere, run_on_cluster
from trisep.store.embeddings import read_embedding_header, write_embeddings
from trisep.store.layout import SHARDS, ShardInfo, embedding_path
from trisep.store.read import ClipStore
from trisep.store.table import make_table

_BATCH_FRAMES = 32
_VECTOR_BYTES, _REGION_BYTES = 4, 7 * 7 * 2
"""Of each dimension of a frame: float32, and a grid of float16."""


@runtime_checkable
class _EncodesBoth(Protocol):
    """An encoder that gives embeddings of whole pictures and of regions in one pass."""

    def encode_both(
        self, frames: list[UInt8[np.ndarray, "H W 3"]]
    ) -> tuple[Float[torch.Tensor, "n D"], Float[torch.Tensor, "n 7 7 D"]]:
        """Return what `encode_image` and `encode_regions` return, at the cost of one of them."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbedReport:
    """What a run of `embed` did."""

    store: Path
    encoder: str
    fingerprint: str
    num_frames: int
    """Number of frames in the whole store."""
    num_shards: int
    num_resumed_shards: int
    """Number of shards that had their embeddings already."""
    num_resumed_caption_shards: int = 0
    """Number of shards that had their latent captions already; 0 when `embed` was called without captions."""
    median_cosine: float | None = None
    """Median cosine between latent captions and their frames; None without captions, or when no clip has a frame."""


def embed(
    store: Path,
    encoder_name: str = "lite",
    *,
    regions: bool = True,
    captions: CaptionSettings | None = None,
    boxes: BoxSettings | None = None,
    num_shown: int = 0,
    overwrite: bool = False,
    cluster: str | None = None,
    num_workers: int | None = None,
    console: Console | None = None,
) -> EmbedReport:
    """Embed every frame of a finished store with a frozen encoder, and store the raw embeddings.

    Args:
        store: a finished clip store.
        encoder_name: one of `trisep.encoders.ENCODER_NAMES`.
        regions: whether to keep the 7 × 7 grid of region embeddings of each frame, too.
        captions: settings of the search for a latent caption of each clip; None makes no captions.
        boxes: where boxes around things come from (in this process); None looks for none.
        num_shown: number of clips whose captions are printed as the words nearest to their tokens.
        overwrite: replace embeddings by another version of the encoder, and captions or boxes of other settings.
        cluster: the Ray cluster to work on, with the errors of `run_on_cluster`; None works in this process.
        num_workers: number of processes with `cluster` "local"; None takes one per processor.
        console: where progress, the histogram of cosines and the words go; None prints nothing.

    Raises StoreError for no store or other embeddings in it, CheckpointError for the encoder, MediaError for writing.
    """
    clips, encoder = ClipStore(store), load_encoder(encoder_name)
    if boxes is not None:
        boxes.require_list()
    with locked(clips.path):
        elsewhere = None if cluster is None else partial(run_on_cluster, address=cluster, num_workers=num_workers)
        return _embed(clips, encoder, regions, captions, boxes, num_shown, overwrite, elsewhere, console)


def _embed(
    clips: ClipStore,
    encoder: SharedEncoder,
    regions: bool,
    captions: CaptionSettings | None,
    boxes: BoxSettings | None,
    num_shown: int,
    overwrite: bool,
    elsewhere: Elsewhere | None,
    console: Console | None,
) -> EmbedReport:
    """Do what `embed` does, in a store that is locked."""
    make_table(clips.path, clips.manifest)
    wanted = {"regions": regions, "overwrite": overwrite}
    done = [_is_done(clips.path, shard, encoder, **wanted) for shard in clips.manifest.shards]
    waiting = [number for number, is_done in enumerate(done) if not is_done]
    uncaptioned = find_uncaptioned(clips, encoder, captions, overwrite=overwrite) if captions is not None else []
    remove_leftovers(clips.path / SHARDS)
    require_place(clips.path / SHARDS, _num_bytes(clips, encoder, waiting, regions=regions))
    with counting_bar("frames", console) as progress:
        _embed_shards(clips, encoder, waiting, progress, regions=regions, elsewhere=elsewhere)
    if captions:
        _write_captions(clips, encoder, captions, uncaptioned, num_shown, console, elsewhere)
    with counting_bar("clips", console if boxes is not None else None) as progress:
        write_boxes(clips, encoder, boxes, progress, overwrite=overwrite)
    cosines = found_cosines(clips, encoder.name) if captions else np.zeros(0, np.float32)
    return EmbedReport(
        store=clips.path,
        encoder=encoder.name,
        fingerprint=encoder.fingerprint,
        num_frames=clips.manifest.num_frames,
        num_shards=len(done),
        num_resumed_shards=sum(done),
        num_resumed_caption_shards=len(done) - len(uncaptioned) if captions else 0,
        median_cosine=float(np.median(cosines)) if len(cosines) else None,
    )


def _num_bytes(clips: ClipStore, encoder: SharedEncoder, waiting: list[int], *, regions: bool) -> int:
    """Compute how much more the embeddings of some shards take on the disk than what they replace."""
    shards = [clips.manifest.shards[number] for number in waiting]
    frame_bytes = encoder.dim * (_VECTOR_BYTES + (_REGION_BYTES if regions else 0))
    paths = (embedding_path(clips.path, shard.name, encoder.name) for shard in shards)
    replaced = sum(path.stat().st_size for path in paths if path.is_file())
    return max(0, sum(shard.num_frames for shard in shards) * frame_bytes - replaced)


def _write_captions(
    clips: ClipStore,
    encoder: SharedEncoder,
    captions: CaptionSettings,
    waiting: list[int],
    num_shown: int,
    console: Console | None,
    elsewhere: Elsewhere | None,
) -> None:
    """Search for the captions of the shards that lack them, and print what was found."""
    with counting_bar("clips", console) as progress:
        write_captions(clips, encoder, captions, waiting, progress, elsewhere=elsewhere)
    if console is not None:
        show_captions(clips, encoder, num_shown, console)


def _is_done(store: Path, shard: ShardInfo, encoder: SharedEncoder, *, regions: bool, overwrite: bool) -> bool:
    """Return whether a shard has its embeddings.

    Raises StoreError when it has other embeddings and `overwrite` is False.
    """
    path = embedding_path(store, shard.name, encoder.name)
    if not path.is_file():
        return False
    try:
        info, shapes = read_embedding_header(path)
    except StoreError:
        if overwrite:
            return False
        raise
    if info.fingerprint == encoder.fingerprint and info.shard_sha256 == shard.sha256:
        return "regions" in shapes or not regions
    if overwrite:
        return False
    raise StoreError(
        f"{path}: was made from another shard or by another version of '{encoder.name}'; add --overwrite to replace it"
    )


def _embed_shards(
    clips: ClipStore,
    encoder: SharedEncoder,
    waiting: list[int],
    progress: Progress,
    *,
    regions: bool,
    elsewhere: Elsewhere | None,
) -> None:
    """Embed and write some shards, given by number, in this process or on a cluster."""
    shards, num_frames = clips.manifest.shards, clips.manifest.num_frames
    num_waiting = sum(shards[number].num_frames for number in waiting)
    task = progress.add_task("embed", total=num_frames, completed=num_frames - num_waiting)
    if elsewhere is not None:
        work = partial(_embed_shard_of, clips.path.absolute(), clips.manifest.index_sha256, encoder.name, regions)
        for number in elsewhere(waiting, work):
            progress.advance(task, shards[number].num_frames)
        return
    for number in waiting:
        _embed_shard(clips, encoder, number, regions=regions, on_done=lambda num_done: progress.advance(task, num_done))


def _embed_shard_of(store: Path, index_sha256: str, encoder_name: str, regions: bool, number: int) -> None:
    """Call `_embed_shard` with arguments that can be sent to another machine."""
    _embed_shard(
        open_once(store, index_sha256), load_encoder(encoder_name), number, regions=regions, on_done=lambda _: None
    )


def _embed_shard(
    clips: ClipStore, encoder: SharedEncoder, number: int, *, regions: bool, on_done: Callable[[int], None]
) -> None:
    """Embed and write one shard; `on_done` gets the number of frames as they are done."""
    parts = []
    for part in _embed_frames(clips, number, encoder, regions=regions):
        parts.append(part)
        on_done(len(part["vectors"]))
    _write(clips.path, clips.manifest.shards[number], encoder, parts, regions=regions)


def _embed_frames(
    clips: ClipStore, shard: int, encoder: SharedEncoder, *, regions: bool
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the embeddings of a shard's frames, in order, one batch of frames at a time."""
    batch: list[np.ndarray] = []
    for number in clips.entries.clips_of(shard):
        batch.extend(clips.read_frames(number))
        while len(batch) >= _BATCH_FRAMES:
            yield _embed_batch(encoder, batch[:_BATCH_FRAMES], regions=regions)
            batch = batch[_BATCH_FRAMES:]
    if batch:
        yield _embed_batch(encoder, batch, regions=regions)


@torch.no_grad()
def _embed_batch(encoder: SharedEncoder, frames: list[np.ndarray], *, regions: bool) -> dict[str, np.ndarray]:
    """Return `vectors` float32 [n, D] and, with `regions`, also `regions` float16 [n, 7, 7, D]."""
    if not regions:
        return {"vectors": encoder.encode_image(frames).float().cpu().numpy()}
    if isinstance(encoder, _EncodesBoth):
        vectors, grids = encoder.encode_both(frames)
    else:
        vectors, grids = encoder.encode_image(frames), encoder.encode_regions(frames)
    return {"vectors": vectors.float().cpu().numpy(), "regions": grids.half().cpu().numpy()}


def _write(
    store: Path, shard: ShardInfo, encoder: SharedEncoder, parts: list[dict[str, np.ndarray]], *, regions: bool
) -> None:
    """Join the batches and write the shard's file; a shard without frames gets empty tensors."""
    empty: dict[str, np.ndarray] = {"vectors": np.zeros((0, encoder.dim), np.float32)}
    if regions:
        empty["regions"] = np.zeros((0, 7, 7, encoder.dim), np.float16)
    tensors = {name: np.concatenate([nothing, *(part[name] for part in parts)]) for name, nothing in empty.items()}
    path = embedding_path(store, shard.name, encoder.name)
    write_embeddings(path, tensors, encoder=encoder.name, fingerprint=encoder.fingerprint, shard_sha256=shard.sha256)
