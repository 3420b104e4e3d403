"""One separation as it runs: survey, masks, samples, and what is learnt about each stem on the way. It holds one segment at a time."""

import ctypes
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from trisep.presence import PresenceCalibration, PresenceFeatures, presence, with_relative
from trisep.report import LevelMeter
from trisep.segments import MaskSegment, Network, SegmentPlan, mask_segments
from trisep.spectrogram.mask_grid import AboveNyquist, MaskGrid, settings_at_rate
from trisep.spectrogram.masks import exclusive_masks
from trisep.streaming import MaskApplier, Source, mono_blocks, survey
from trisep.types import Audio, SignalSettings, Stem

_C_LIBRARY = ctypes.CDLL(None) if sys.platform == "linux" else None
Progress = Callable[[float], None]
"""Called with the share of the work that is done, 0 to 1."""


@dataclass(frozen=True, slots=True)
class SeparatedSegment:
    """Consecutive samples of a mixture and of its stems, and consecutive frames of the masks (which run slightly ahead)."""

    mixture: Float32[np.ndarray, "C m"]
    stems: Float32[np.ndarray, "Q C m"]
    masks: Float[Tensor, "Q 256 n"]

    @property
    def residual(self) -> Float32[np.ndarray, "C m"]:
        """mixture − Σ stems, sample by sample in float32."""
        rest: np.ndarray = self.mixture - self.stems.sum(axis=0, dtype=np.float32)
        return rest


class SeparationRun:
    """Two passes over a source: the first, made at once, surveys it (MediaError when it cannot be read); `segments` is the second."""

    def __init__(
        self,
        source: Source,
        network: Network,
        signal: SignalSettings,
        plan: SegmentPlan,
        *,
        num_queries: int,
        num_references: int = 0,
        above_nyquist: AboveNyquist = "top",
        exclusive: bool = True,
        device: torch.device,
        frames: UInt8[np.ndarray, "K H W 3"] | None = None,
        frame_times_seconds: tuple[float, ...] = (),
    ) -> None:
        """`network` answers `num_queries` queries and then `num_references` further ones that only presence is compared with.

        `frames` of the source, at their times, are what was looked at for the queries; they are kept for whoever draws them.
        """
        self.source, self.signal, self.plan = source, signal, plan
        self._network, self._device = network, device
        self._num_queries = num_queries
        self._above_nyquist: AboveNyquist = above_nyquist
        self._exclusive = exclusive
        self.frames, self.frame_times_seconds = frames, frame_times_seconds
        self.survey = survey(source, signal.sample_rate_hz)
        self._features = PresenceFeatures(num_queries + num_references, hop_seconds=signal.hop_samples / signal.sample_rate_hz)
        self._meters = [LevelMeter(source.sample_rate_hz) for _ in range(num_queries)]

    @property
    def gain(self) -> float:
        """Factor that brings the mixture to the training level; 1 for silence."""
        level_db = self.survey.level_db
        return 10 ** ((self.signal.mixture_level_db - level_db) / 20) if math.isfinite(level_db) else 1.0

    def segments(self, progress: Progress | None = None) -> Iterator[SeparatedSegment]:
        """Every sample of the source once, in order: mixture and stems."""
        target = settings_at_rate(self.signal, self.source.sample_rate_hz)
        grid = MaskGrid(self.signal, target, above_nyquist=self._above_nyquist, device=self._device)
        layout = {"num_channels": self.source.num_channels, "num_queries": self._num_queries}
        applier = MaskApplier(target, grid, **layout, device=self._device)
        num_given = 0
        for segment in self.mask_segments(applier.push):
            masks = segment.masks[: self._num_queries]
            masks = exclusive_masks(masks[None])[0] if self._exclusive else masks
            mixture, stems = applier.apply(masks, is_last=segment.is_last)
            for meter, stem in zip(self._meters, stems, strict=True):
                meter.update(stem)
            num_given += mixture.shape[1]
            if progress is not None:
                progress(num_given / max(1, self.survey.num_samples))
            yield SeparatedSegment(mixture, stems, masks)
            _return_free_memory()

    def mask_segments(self, heard: Callable[[np.ndarray], None] = lambda block: None) -> Iterator[MaskSegment]:
        """Masks alone, references included; `heard` is handed each block of the source as it is read."""

        def blocks() -> Iterator[Float32[np.ndarray, "C n"]]:
            """The source, each block shown to `heard` on its way."""
            for block in self.source.blocks():
                heard(block)
                yield block

        mono = mono_blocks(blocks(), self.source.sample_rate_hz, self.signal.sample_rate_hz)
        for segment in mask_segments(mono, self._network, self.signal, self.plan, gain=self.gain, device=self._device):
            self._features.update(segment.masks, segment.logits, segment.magnitude)
            yield segment

    def features(self) -> tuple[dict[str, float], ...]:
        """Presence features of each query, relative ones included where there are references; after the last segment."""
        values = self._features.values()
        return tuple(with_relative(value, values[self._num_queries :]) for value in values[: self._num_queries])

    def stems(
        self,
        names: Sequence[str],
        calibration: PresenceCalibration,
        threshold: float | None,
        samples: Float32[np.ndarray, "Q C S"] | None = None,
    ) -> list[Stem]:
        """What is known of each stem after the last segment; without `samples` its sound is empty."""
        least = calibration.threshold if threshold is None else threshold
        rate, stems = self.source.sample_rate_hz, []
        for index, (name, meter, features) in enumerate(zip(names, self._meters, self.features(), strict=True)):
            score = presence(features, calibration) if math.isfinite(self.survey.level_db) else 0.0
            empty = np.zeros((self.source.num_channels, 0), np.float32)
            stems.append(
                Stem(
                    query=name,
                    audio=Audio(empty if samples is None else samples[index], rate),
                    level_db=meter.level_db,
                    presence=score,
                    present=score >= least,
                    activity_hop_seconds=meter.hop_seconds,
                    activity=meter.activity,
                )
            )
        return stems

    def facts(self) -> dict[str, Any]:
        """What report.json says of the source."""
        return {
            "input": None if self.source.path is None else str(self.source.path),
            "sample_rate_hz": self.source.sample_rate_hz,
            "channels": self.source.num_channels,
            "duration_seconds": self.survey.num_samples / self.source.sample_rate_hz,
        }

    def notes(self) -> tuple[str, ...]:
        """Remarks a listener should know."""
        notes = []
        if not math.isfinite(self.survey.level_db):
            notes.append("the input is silent: every stem is silent too")
        if self.source.sample_rate_hz > self.signal.sample_rate_hz:
            above = {"top": "repeat the average mask of the model's top band", "mute": "are silent", "keep": "hold the whole mixture"}
            notes.append(
                f"above {self.signal.sample_rate_hz / 2000:g} kHz, which the model does not hear, stems {above[self._above_nyquist]}"
            )
        return tuple(notes)


def _return_free_memory() -> None:
    """Give freed pages back to the system, where the C library can be asked to: glibc keeps them, and a long file's memory creeps up."""
    trim = getattr(_C_LIBRARY, "malloc_trim", None)
    if trim is not None:
        trim(0)
