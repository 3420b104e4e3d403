"""Sound that is never in memory as a whole: a source that can be read twice, its survey, and masks applied to its own samples.

It knows neither models nor queries nor files that are written.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
import torch
from jaxtyping import Complex, Float, Float32
from torch import Tensor

from trisep.errors import MediaError
from trisep.media.audio import read_audio, stream_audio
from trisep.spectrogram.mask_grid import MaskGrid
from trisep.spectrogram.overlap_add import OverlapAdd, StreamedSTFT
from trisep.types import Audio, SignalSettings

_BLOCK_SAMPLES = 1 << 16
_PORTION_VALUES = 1 << 21
"""How many values of frames are transformed at a time, over all channels of a stem."""


@dataclass(frozen=True, slots=True)
class Source:
    """Sound that can be read several times, block by block."""

    sample_rate_hz: int
    num_channels: int
    blocks: Callable[[], Iterator[Float32[np.ndarray, "C n"]]]
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Survey:
    """What the first pass over a source finds."""

    num_samples: int
    """Per channel, as decoded."""
    level_db: float
    """RMS in dBFS of the mono downmix at the model's rate, its mean removed; −inf for silence."""


def open_source(source: Path | str | Audio, *, stream: int = 0, allow_truncated: bool = False) -> Source:
    """A file or a sound in memory as a `Source`; MediaError where it holds no sound, or values that are not finite numbers."""
    if isinstance(source, Audio):
        samples = np.asarray(source.samples, dtype=np.float32)
        if samples.ndim != 2 or samples.size == 0:
            raise MediaError(
                f"the sound in memory is empty or not [channels, samples], but {list(samples.shape)}; give at least one sample"
            )
        if not np.isfinite(samples).all():
            raise MediaError("the sound in memory holds values that are not finite numbers; mend it first")
        starts = range(0, samples.shape[1], _BLOCK_SAMPLES)
        return Source(source.sample_rate_hz, samples.shape[0], lambda: (samples[:, at : at + _BLOCK_SAMPLES] for at in starts))
    path = Path(source)
    head = read_audio(path, stream=stream, duration_seconds=0.0)
    return Source(
        head.sample_rate_hz,
        head.num_channels,
        lambda: stream_audio(path, stream=stream, block_samples=_BLOCK_SAMPLES, allow_truncated=allow_truncated),
        path,
    )


def survey(source: Source, sample_rate_hz: int) -> Survey:
    """Read everything once: how long, how loud at the model's rate, and whether it can be read to its end (else MediaError).

    The mean is taken out of the level, so that a DC offset does not count as sound.
    """
    num_samples, num_mono, total, squares = 0, 0, 0.0, 0.0

    def counted() -> Iterator[Float32[np.ndarray, "C n"]]:
        """The blocks, their samples counted on the way."""
        nonlocal num_samples
        for block in source.blocks():
            num_samples += block.shape[1]
            yield block

    for mono in mono_blocks(counted(), source.sample_rate_hz, sample_rate_hz):
        num_mono += len(mono)
        total += float(mono.sum(dtype=np.float64))
        squares += float(np.square(mono, dtype=np.float64).sum())
    variance = squares / num_mono - (total / num_mono) ** 2 if num_mono else 0.0
    return Survey(num_samples, 10 * math.log10(variance) if variance > 1e-20 else -math.inf)


def mono_blocks(blocks: Iterator[Float32[np.ndarray, "C n"]], from_hz: int, to_hz: int) -> Iterator[Float32[np.ndarray, "n"]]:
    """The mean of all channels at another rate (soxr HQ), as `stream_audio(mono=True)` gives it."""
    if from_hz == to_hz:
        yield from (block.mean(axis=0) for block in blocks)
        return
    try:
        resampler = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32")
    except (ValueError, RuntimeError) as error:
        raise MediaError(f"cannot resample from {from_hz} Hz to {to_hz} Hz; convert the sound to a usual rate first") from error
    for block in blocks:
        yield resampler.resample_chunk(block.mean(axis=0))
    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


class MaskApplier:
    """Applies masks of the model's grid to a source's own samples: every channel keeps its phase, every sample its place.

    `push` takes the source's blocks as they are read; `apply` takes masks and gives mixture and stems as far as both reach.
    """

    def __init__(
        self, settings: SignalSettings, grid: MaskGrid, *, num_channels: int, num_queries: int, device: torch.device | str
    ) -> None:
        """`settings` is the STFT at the source's rate; `grid` reads masks at its bins and frames."""
        self._settings, self._grid, self._device = settings, grid, device
        self._num_queries, self._num_channels = num_queries, num_channels
        self._spectra = StreamedSTFT(settings, num_channels=num_channels, device=device)
        self._overlaps = [OverlapAdd(settings, num_signals=num_channels, device=device) for _ in range(num_queries)]
        self._pushed: list[np.ndarray] = []
        self._num_pushed = 0
        self._num_given = 0
        self._masks = torch.zeros(num_queries, settings.num_log_bins, 0, device=device)
        self._first_mask_frame = 0

    def push(self, block: Float32[np.ndarray, "C n"]) -> None:
        """Append samples of the source."""
        self._pushed.append(block)
        self._num_pushed += block.shape[1]

    def apply(self, masks: Float[Tensor, "Q 256 n"], *, is_last: bool) -> tuple[Float32[np.ndarray, "C m"], Float32[np.ndarray, "Q C m"]]:
        """Take the next masks; returns mixture and stems over the next m ≥ 0 samples, in the end all that were pushed."""
        self._masks = torch.cat([self._masks, masks], dim=-1)
        samples = np.concatenate([np.zeros((self._num_channels, 0), np.float32), *self._pushed], axis=1)
        stems = np.zeros((self._num_queries, self._num_channels, samples.shape[1]), np.float32)
        filled = 0
        for spectra in self._spectra_under_masks(samples, is_last):
            first = self._spectra.num_frames - spectra.shape[1]
            at_bins = self._grid.read(self._masks, first_mask_frame=self._first_mask_frame, first_frame=first, num_frames=spectra.shape[1])
            filled = self._add(stems, filled, [overlap.push(mask * spectra) for overlap, mask in zip(self._overlaps, at_bins, strict=True)])
        if is_last:
            filled = self._add(stems, filled, [overlap.finish() for overlap in self._overlaps])
        needed = self._grid.position(self._spectra.num_frames)[0] - self._first_mask_frame
        used = max(0, min(needed, self._masks.shape[-1] - 1))
        self._masks, self._first_mask_frame = self._masks[..., used:].clone(), self._first_mask_frame + used
        self._num_given += filled
        self._pushed = [samples[:, filled:].copy()]
        return samples[:, :filled], stems[..., :filled]

    def _spectra_under_masks(self, samples: Float32[np.ndarray, "C n"], is_last: bool) -> Iterator[Complex[Tensor, "C K F"]]:
        """The source's next frames as far as the masks reach, in portions that bound the memory."""
        window, hop = self._settings.window_samples, self._settings.hop_samples
        half = window - window // 2
        if is_last:
            stop = 1 + self._num_pushed // hop
        else:
            complete = 1 + (self._num_pushed - half) // hop
            stop = min(complete, self._grid.frames_before(self._first_mask_frame + self._masks.shape[-1] - 1))
        portion = max(4, _PORTION_VALUES // (self._num_channels * window))
        while self._spectra.num_frames < stop:
            frame = min(stop, self._spectra.num_frames + portion)
            begin = self._spectra.num_samples - self._num_given
            end = min(samples.shape[1], (frame - 1) * hop + half - self._num_given)
            spectra = self._spectra.push(torch.from_numpy(np.ascontiguousarray(samples[:, begin:end])).to(self._device))
            if end == samples.shape[1] and is_last:
                spectra = torch.cat([spectra, self._spectra.finish()], dim=1)
            yield spectra

    def _add(self, stems: Float32[np.ndarray, "Q C n"], filled: int, parts: list[Float[Tensor, "C m"]]) -> int:
        """Write completed samples behind those already there, nothing beyond the source's end; returns the new number of samples."""
        end: int = min(filled + parts[0].shape[-1], stems.shape[-1])
        for stem, part in zip(stems, parts, strict=True):
            stem[:, filled:end] = part[:, : end - filled].cpu().numpy()
        return end
