"""Latent captions in a clip store: this module finds the shards that lack them, writes them and shows what was found.

The search itself is in `trisep.queries.captions`; the verb `embed` calls this module.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from rich.console import Console
from rich.progress import Progress

from trisep.encoders import SharedEncoder, load_encoder
from trisep.errors import StoreError
from trisep.queries.captions import (
    CaptionSettings,
    LatentCaptions,
    WordSample,
    find_captions,
    nearest_words,
    sample_words,
)
from trisep.store.cluster import Elsewhere
from trisep.store.embeddings import map_embeddings, read_embedding_header, write_embeddings
from trisep.store.layout import ShardInfo, caption_path, embedding_path
from trisep.store.read import ClipStore

_BATCH_CLIPS = 128
_NUM_BARS = 10
_BAR_LENGTH = 40


def find_uncaptioned(
    clips: ClipStore, encoder: SharedEncoder, settings: CaptionSettings, *, overwrite: bool
) -> list[int]:
    """Return the numbers of the shards without captions of this encoder and these settings.

    Raises StoreError where a shard has other captions and `overwrite` is False.
    """
    waiting = []
    for number, shard in enumerate(clips.manifest.shards):
        path = caption_path(clips.path, shard.name, encoder.name)
        try:
            info = read_embedding_header(path)[0] if path.is_file() else None
        except StoreError:
            if not overwrite:
                raise
            info = None
        expected = (encoder.fingerprint, shard.sha256, settings.to_json())
        if info is not None and (info.fingerprint, info.shard_sha256, info.settings) == expected:
            continue
        if info is not None and not overwrite:
            cause = (
                f"by another version of '{encoder.name}'"
                if info.fingerprint != encoder.fingerprint
                else "with other settings"
            )
            raise StoreError(f"{path}: was made from another shard or {cause}; add --overwrite to replace it")
        waiting.append(number)
    return waiting


def write_captions(
    clips: ClipStore,
    encoder: SharedEncoder,
    settings: CaptionSettings,
    waiting: list[int],
    progress: Progress,
    *,
    elsewhere: Elsewhere | None = None,
) -> None:
    """Search for the captions of some shards, given by number, and write them; `progress` counts the clips done.

    The frames' embeddings must have been written before. Where `elsewhere` is given, a cluster does the work,
    otherwise this process does.
    """
    shards = clips.manifest.shards
    if not waiting:
        return
    num_waiting = sum(shards[number].num_clips for number in waiting)
    task = progress.add_task("captions", total=len(clips), completed=len(clips) - num_waiting)
    if elsewhere is not None:
        work = partial(_caption_shard_of, clips.path.absolute(), clips.manifest.index_sha256, encoder.name, settings)
        for number in elsewhere(waiting, work):
            progress.advance(task, shards[number].num_clips)
        return
    words = sample_words(encoder, settings)
    for number in waiting:
        _caption_shard(
            clips, encoder, settings, words, number, on_done=lambda num_done: progress.advance(task, num_done)
        )


@lru_cache(maxsize=1)
def open_once(store: Path, index_sha256: str) -> ClipStore:
    """Open a store that stays open in a process of a cluster, which does one shard of it after the other.

    The hash of its index distinguishes it from an earlier store in the same place.
    """
    return ClipStore(store)


@lru_cache(maxsize=1)
def _words_once(encoder_name: str, settings: CaptionSettings) -> WordSample:
    return sample_words(load_encoder(encoder_name), settings)


def _caption_shard_of(
    store: Path, index_sha256: str, encoder_name: str, settings: CaptionSettings, number: int
) -> None:
    """Call `_caption_shard` with arguments that can be sent to another machine."""
    words = _words_once(encoder_name, settings)
    _caption_shard(
        open_once(store, index_sha256), load_encoder(encoder_name), settings, words, number, on_done=lambda _: None
    )


def _caption_shard(
    clips: ClipStore,
    encoder: SharedEncoder,
    settings: CaptionSettings,
    words: WordSample,
    number: int,
    *,
    on_done: Callable[[int], None],
) -> None:
    """Search for the captions of one shard and write them; `on_done` gets the number of clips as they are done."""
    shard = clips.manifest.shards[number]
    middles = [middle_frame(clips, clip) for clip in clips.entries.clips_of(number)]
    seen = [row for row, frame in enumerate(middles) if frame is not None]
    on_done(shard.num_clips - len(seen))
    first_frame = clips.entries.frames_of(number).start
    rows = [frame - first_frame for frame in middles if frame is not None]
    pictures = torch.from_numpy(map_embeddings(embedding_path(clips.path, shard.name, encoder.name))["vectors"][rows])
    found = [
        find_captions(encoder, batch, settings, words=words, on_done=on_done)
        for batch in torch.split(pictures, _BATCH_CLIPS)
    ]
    _write_shard(clips.path, shard, encoder, settings, seen, found, token_size=words.tokens.shape[1])


def middle_frame(clips: ClipStore, clip: int) -> int | None:
    """Return the row of `load_vectors` that belongs to the frame nearest to the middle of a clip.

    A clip without a picture gives None.
    """
    times = np.array(clips.frame_times(clip))
    if not len(times):
        return None
    middle_seconds = clips.num_samples(clip) / clips.sample_rate_hz / 2
    first: int = clips.frame_slice(clip).start
    return first + int(np.abs(times - middle_seconds).argmin())


def _write_shard(
    store: Path,
    shard: ShardInfo,
    encoder: SharedEncoder,
    settings: CaptionSettings,
    seen: list[int],
    found: list[LatentCaptions],
    *,
    token_size: int,
) -> None:
    """Write the shard's caption file; clips without a frame, which are not in `seen`, stay zero."""
    num_clips = shard.num_clips
    tensors = {
        "captions": np.zeros((num_clips, encoder.dim), np.float32),
        "tokens": np.zeros((num_clips, settings.num_tokens, token_size), np.float32),
        "cosines": np.zeros(num_clips, np.float32),
    }
    if seen:
        for name, tensor in tensors.items():
            tensor[seen] = torch.cat([getattr(part, name) for part in found]).numpy()
    path = caption_path(store, shard.name, encoder.name)
    provenance = {"encoder": encoder.name, "fingerprint": encoder.fingerprint, "shard_sha256": shard.sha256}
    write_embeddings(path, tensors, **provenance, settings=settings.to_json())


def found_cosines(clips: ClipStore, encoder_name: str) -> Float32[np.ndarray, "_"]:
    """Return the cosine between each latent caption and its frame; clips without a frame are left out.

    Raises StoreError as `ClipStore.load_captions` does.
    """
    cosines = clips.load_caption_search(encoder_name)["cosines"]
    return np.asarray(cosines[np.flatnonzero(clips.entries.num_frames())])


def show_captions(clips: ClipStore, encoder: SharedEncoder, num_shown: int, console: Console) -> None:
    """Print a histogram of the cosines, and the words nearest to the tokens of `num_shown` clips across the store."""
    cosines = found_cosines(clips, encoder.name)
    for line in histogram(cosines):
        console.print(line, highlight=False)
    seen = np.flatnonzero(clips.entries.num_frames())
    places = np.linspace(0, len(seen) - 1, min(num_shown, len(seen))).round().astype(int)
    if chosen := seen[places].tolist():
        found = clips.load_caption_search(encoder.name)
        for clip, words in zip(chosen, nearest_words(encoder, torch.from_numpy(found["tokens"][chosen])), strict=True):
            line = f"{clips.source(clip)}  {found['cosines'][clip]:.3f}  {' · '.join(words)}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def histogram(cosines: Float32[np.ndarray, "_"]) -> list[str]:
    """Return lines of text: ten bars from the lowest to the highest cosine, and the median."""
    if not len(cosines):
        return ["no clip has a frame, so there is nothing to caption"]
    # In double precision, since cosines that differ in their last bit leave no room for bins between them.
    counts, edges = np.histogram(cosines.astype(np.float64), _NUM_BARS)
    lines = [f"cosine of {len(cosines)} latent captions to their frames, median {np.median(cosines):.3f}"]
    for count, low, high in zip(counts, edges, edges[1:], strict=False):
        lines.append(f"{low:6.3f} to {high:6.3f} {count:6d} {'█' * round(_BAR_LENGTH * count / counts.max())}".rstrip())
    return lines
