"""A separation as it runs, one segment in memory: a source read twice, masks applied to its own samples, stems
measured.

The first pass over a `Source` surveys it, the second separates it (`SeparationRun`). `MaskApplier` brings masks of the
grid of the model to the samples of the source, whose rate, channels and phase stay. Nothing here writes files.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Complex, Float, Float32
from torch import Tensor

from trisep.media.heard import heard_blocks
from trisep.media.level import gain_between
from trisep.media.memory import give_back_freed
from trisep.queries.embed import EmbeddedQueries
from trisep.separation.ahead import computed_ahead
from trisep.separation.infer import MaskSegment, Network, SegmentPlan, mask_segments
from trisep.separation.owner import INPUT_SHA256
from trisep.separation.presence import PresenceCalibration, PresenceFeatures, StemEvidence, presence, with_relative
from trisep.separation.source import Source, mono_blocks, survey
from trisep.separation.stems import LevelMeter, share_of
from trisep.spectrogram.log_frequency import AboveNyquist, MaskGrid, settings_at_rate
from trisep.spectrogram.masks import joined_masks
from trisep.spectrogram.stft import OverlapAdd, StreamedSTFT
from trisep.types import Audio, SignalSettings, Stem

Progress = Callable[[float], None]
"""Called with the share of the work that is done, 0 to 1."""
USUAL_NOTE = "above"
"""How the note begins that most separations have, and nobody needs to be told each time."""
_SLICE_VALUES = 600_000
"""How many samples are given at a time, over mixture and stems: a little more than 2 s of two stems in stereo."""
_PORTION_VALUES = 1 << 19
"""How many values of frames are transformed at a time, over all channels of a stem: few enough for the cache of a
processor, and for the C library to use the same memory again."""


class MaskApplier:
    """Applies masks of the model's grid to a source's own samples: every channel keeps its phase, every sample its
    place.

    `push` takes the source's blocks as they are read; `apply` takes masks and gives mixture and stems as far as both
    reach.
    """

    def __init__(
        self,
        settings: SignalSettings,
        grid: MaskGrid,
        *,
        num_channels: int,
        num_queries: int,
        device: torch.device | str,
    ) -> None:
        """`settings` is the STFT at the source's rate; `grid` reads masks at its bins and frames."""
        self._settings, self._grid, self._device = settings, grid, device
        self._num_queries, self._num_channels = num_queries, num_channels
        self._spectra = StreamedSTFT(settings, num_channels=num_channels, device=device)
        self._overlaps = [OverlapAdd(settings, num_signals=num_channels, device=device) for _ in range(num_queries)]
        self._pushed: list[tuple[np.ndarray, np.ndarray]] = []
        self._num_pushed = 0
        self._num_given = 0
        self._masks = torch.zeros(num_queries, settings.num_log_bins, 0, device=device)
        self._first_mask_frame = 0

    def push(self, block: Float32[np.ndarray, "C n"], heard: Float32[np.ndarray, "C n"] | None = None) -> None:
        """Append samples of the source, and what is heard of them, of which stems are made; None means all of them."""
        self._pushed.append((block, block if heard is None else heard))
        self._num_pushed += block.shape[1]

    def apply(self, masks: Float[Tensor, "Q 256 n"], *, is_last: bool) -> "SeparatedSegment":
        """Take the next masks; returns mixture and stems over the next m ≥ 0 samples, in the end all
        that were pushed.
        """
        self._masks = torch.cat([self._masks, masks], dim=-1)
        stems = np.zeros((self._num_queries, self._num_channels, self._num_pushed - self._num_given), np.float32)
        filled = 0
        for spectra in self._spectra_under_masks(is_last):
            first = self._spectra.num_frames - spectra.shape[1]
            at_bins = self._grid.read(
                self._masks, first_mask_frame=self._first_mask_frame, first_frame=first, num_frames=spectra.shape[1]
            )
            filled = self._add(
                stems,
                filled,
                [overlap.push(mask * spectra) for overlap, mask in zip(self._overlaps, at_bins, strict=True)],
            )
        if is_last:
            filled = self._add(stems, filled, [overlap.finish() for overlap in self._overlaps])
        needed = self._grid.position(self._spectra.num_frames)[0] - self._first_mask_frame
        used = max(0, min(needed, self._masks.shape[-1] - 1))
        self._masks, self._first_mask_frame = self._masks[..., used:].clone(), self._first_mask_frame + used
        mixture, heard = self._given(filled)
        return SeparatedSegment(mixture, heard, stems[..., :filled], masks)

    def _cut(self, begin: int, end: int, *, heard: bool) -> Float32[np.ndarray, "C n"]:
        """Copy samples out of what was pushed and not given, which is never joined: of many channels it is large."""
        parts, first = [np.zeros((self._num_channels, 0), np.float32)], 0
        for pair in self._pushed:
            block = pair[heard]
            parts.append(block[:, max(0, begin - first) : max(0, end - first)])
            first += block.shape[1]
        return np.concatenate(parts, axis=1)

    def _given(self, filled: int) -> tuple[Float32[np.ndarray, "C n"], Float32[np.ndarray, "C n"]]:
        """Let go of the next samples and return them; one array where all of them is heard."""
        all_heard = all(heard is block for block, heard in self._pushed)
        mixture = self._cut(0, filled, heard=False)
        samples = mixture if all_heard else self._cut(0, filled, heard=True)
        rest, first = [], 0
        for block, heard in self._pushed:
            begin = max(0, filled - first)
            if begin < block.shape[1]:
                kept = block[:, begin:]
                rest.append((kept, kept if heard is block else heard[:, begin:]))
            first += block.shape[1]
        self._pushed = rest
        self._num_given += filled
        return mixture, samples

    def _spectra_under_masks(self, is_last: bool) -> Iterator[Complex[Tensor, "C K F"]]:
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
            end = min(self._num_pushed - self._num_given, (frame - 1) * hop + half - self._num_given)
            spectra = self._spectra.push(torch.from_numpy(self._cut(begin, end, heard=True)).to(self._device))
            if end == self._num_pushed - self._num_given and is_last:
                spectra = torch.cat([spectra, self._spectra.finish()], dim=1)
            yield spectra

    def _add(self, stems: Float32[np.ndarray, "Q C n"], filled: int, parts: list[Float[Tensor, "C m"]]) -> int:
        """Write completed samples behind those already there, nothing beyond the source's end; returns the new number
        of samples.
        """
        end: int = min(filled + parts[0].shape[-1], stems.shape[-1])
        for stem, part in zip(stems, parts, strict=True):
            stem[:, filled:end] = part[:, : end - filled].cpu().numpy()
        return end


@dataclass(frozen=True, slots=True)
class SeparatedSegment:
    """Consecutive samples of a mixture and of its stems, and consecutive frames of the masks (which run slightly
    ahead).
    """

    mixture: Float32[np.ndarray, "C m"]
    heard: Float32[np.ndarray, "C m"]
    """The mixture without its offset and rumble, where it has any (`media/heard.py`)."""
    stems: Float32[np.ndarray, "Q C m"]
    masks: Float[Tensor, "Q 256 n"]

    @property
    def residual(self) -> Float32[np.ndarray, "C m"]:
        """mixture − Σ stems, sample by sample in float32."""
        return self.without(1.0)

    def without(self, strength: float) -> Float32[np.ndarray, "C m"]:
        """mixture − strength · Σ stems, sample by sample in float32."""
        rest: np.ndarray = self.mixture - np.float32(strength) * self.stems.sum(axis=0, dtype=np.float32)
        return rest

    @property
    def heard_residual(self) -> Float32[np.ndarray, "C m"]:
        """The residual without offset and rumble."""
        rest: np.ndarray = self.heard - self.stems.sum(axis=0, dtype=np.float32)
        return rest


class SeparationRun:
    """Two passes over a source: the first, made at once, surveys it (MediaError when it cannot be read); `segments` is
    the second.
    """

    def __init__(
        self,
        source: Source,
        network: Network,
        signal: SignalSettings,
        plan: Callable[[int], SegmentPlan],
        *,
        queries: EmbeddedQueries,
        num_queries: int,
        groups: Sequence[Sequence[int]] | None = None,
        above_nyquist: AboveNyquist = "top",
        exclusive: bool = True,
        evidence: StemEvidence | None = None,
        device: torch.device,
    ) -> None:
        """`network` answers `queries`, of which those after the first `num_queries` are there only for presence to
        compare with.

        Each of the `groups` of the first queries becomes one stem; None makes one of each query.

        `plan` gives the segments of a sound of so many samples at the rate of the model. `evidence` listens to
        stems and mixture.
        """
        self.source, self.signal, self.queries = source, signal, queries
        self._network, self._device = network, device
        self._num_queries = num_queries
        self._groups = [[query] for query in range(num_queries)] if groups is None else groups
        self._exclusive, self._evidence = exclusive, evidence
        self._above_nyquist: AboveNyquist = above_nyquist
        self.survey = survey(source, signal.sample_rate_hz)
        self.plan = plan(self.survey.num_mono_samples)
        self._features = PresenceFeatures(len(queries.order), hop_seconds=signal.hop_samples / signal.sample_rate_hz)
        self._meters = [LevelMeter(source.sample_rate_hz) for _ in self._groups]
        self._mixture, self._residual = LevelMeter(source.sample_rate_hz), LevelMeter(source.sample_rate_hz)
        give_back_freed()  # what reading the model and the words left

    @property
    def gain(self) -> float:
        """Factor that brings the mixture to the training level; 1 for silence."""
        return float(gain_between(self.survey.level_db, self.signal.mixture_level_db))

    def segments(self, progress: Progress | None = None) -> Iterator[SeparatedSegment]:
        """Every sample of the source once, in order: mixture and stems."""
        target = settings_at_rate(self.signal, self.source.sample_rate_hz)
        grid = MaskGrid(self.signal, target, above_nyquist=self._above_nyquist, device=self._device)
        layout = {"num_channels": self.source.num_channels, "num_queries": len(self._groups)}
        applier = MaskApplier(target, grid, **layout, device=self._device)
        num_given = 0
        for item in computed_ahead(self._segments_and_blocks()):
            for separated in self._applied(applier, *item):
                num_given += separated.mixture.shape[1]
                if progress is not None:
                    progress(num_given / max(1, self.survey.num_samples))
                yield separated
            del item  # before the next one is waited for
            give_back_freed()

    def _applied(
        self, applier: MaskApplier, segment: MaskSegment, blocks: list[tuple[np.ndarray, np.ndarray]]
    ) -> Iterator[SeparatedSegment]:
        """Mixture and stems under the masks of a segment, slice by slice, measured; `blocks` are handed on."""
        for block, heard in blocks:
            applier.push(block, heard)
        blocks.clear()
        masks = joined_masks(segment.masks[: self._num_queries], self._groups, exclusive=self._exclusive)
        slices = torch.split(masks, self._slice_frames(), dim=-1)
        for number, part in enumerate(slices, start=1):
            is_last = segment.is_last and number == len(slices)
            separated = applier.apply(part, is_last=is_last)
            self._measure(separated, is_last=is_last)
            yield separated

    def _slice_frames(self) -> int:
        """Return for how many frames of the masks samples are given at a time."""
        num_signals = self.source.num_channels * (1 + len(self._groups))
        seconds = _SLICE_VALUES / (self.source.sample_rate_hz * num_signals)
        return max(1, int(seconds * self.signal.sample_rate_hz / self.signal.hop_samples))

    def _measure(self, separated: SeparatedSegment, *, is_last: bool) -> None:
        """Take the levels of stems, mixture and residual, and what is heard in stems and mixture."""
        for meter, stem in zip(self._meters, separated.stems, strict=True):
            meter.update(stem)
        if self._evidence is not None:
            rate, level_db = self.source.sample_rate_hz, self.survey.level_db
            self._evidence.update(separated.stems, separated.heard, rate, mixture_level_db=level_db, is_last=is_last)
        self._mixture.update(separated.heard)
        self._residual.update(separated.heard_residual)

    def _segments_and_blocks(self) -> Iterator[tuple[MaskSegment, list[tuple[np.ndarray, np.ndarray]]]]:
        """Masks, each with the blocks of the source that were read for them, and what is heard of these."""
        blocks: list[tuple[np.ndarray, np.ndarray]] = []
        for segment in self.mask_segments(lambda block, heard: blocks.append((block, heard))):
            item = replace(segment, logits=None, noise_masks=None), blocks.copy()
            blocks.clear()
            del segment
            yield item
            del item

    def mask_segments(
        self, on_block: Callable[[np.ndarray, np.ndarray], None] = lambda block, heard: None
    ) -> Iterator[MaskSegment]:
        """Masks alone, references included; `on_block` is handed each block of the source, and what is heard of it, as
        it is read.
        """
        rate, num_channels = self.source.sample_rate_hz, self.source.num_channels

        def blocks() -> Iterator[Float32[np.ndarray, "C n"]]:
            """What is heard of the source, each block handed on."""
            for block, heard in heard_blocks(self.source.blocks(), self.survey.unheard, rate):
                on_block(block, heard)
                yield heard

        mono = mono_blocks(blocks(), rate, self.signal.sample_rate_hz, num_channels=num_channels)
        for segment in mask_segments(mono, self._network, self.signal, self.plan, gain=self.gain, device=self._device):
            self._features.update(segment.masks, segment.logits, segment.magnitude)
            give_back_freed()  # of the network, before its masks are applied
            yield segment
            del segment  # before the next one is computed

    def features(self) -> tuple[dict[str, float], ...]:
        """Presence features of each query, with relative ones and evidence where there are; after the last segment."""
        values = self._features.values()
        heard = {} if self._evidence is None else self._evidence.values()
        return tuple(
            {**with_relative(value, values[self._num_queries :]), **heard.get(number, {})}
            for number, value in enumerate(values[: self._num_queries])
        )

    def stems(
        self,
        names: Sequence[str],
        calibration: PresenceCalibration,
        threshold: float | None,
        samples: Float32[np.ndarray, "Q C S"] | None = None,
    ) -> list[Stem]:
        """What is known of each stem after the last segment; without `samples` its sound is empty.

        The presence of several queries together is that of the most present.
        """
        least = calibration.threshold if threshold is None else threshold
        scores = [0.0 if self.survey.is_silent else presence(features, calibration) for features in self.features()]
        rate, stems = self.source.sample_rate_hz, []
        for index, (name, meter, group) in enumerate(zip(names, self._meters, self._groups, strict=True)):
            score = max(scores[query] for query in group)
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

    def share(self, level_db: float) -> float | None:
        """Return the energy of a stem over that of what is heard of the mixture, None for silence; after the last."""
        return share_of(level_db, self._mixture.level_db)

    def residual_share(self) -> float | None:
        """Return the energy of the residual over that of the mixture, None for silence; after the last segment."""
        return self.share(self._residual.level_db)

    def facts(self) -> dict[str, Any]:
        """What report.json says of the source."""
        return {
            "input": self.source.title or (None if self.source.path is None else str(self.source.path)),
            **({} if self.source.sha256 is None else {INPUT_SHA256: self.source.sha256()}),
            "sample_rate_hz": self.source.sample_rate_hz,
            "channels": self.source.num_channels,
            "duration_seconds": self.survey.num_samples / self.source.sample_rate_hz,
        }

    def notes(self) -> tuple[str, ...]:
        """Remarks a listener should know."""
        notes = [*self.source.notes]
        if self.survey.is_silent:
            notes.append("the input is silent: every stem is silent too")
        if self.survey.unheard:
            kind = "rumble below 20 Hz" if self.survey.unheard.has_rumble else "a constant offset"
            notes.append(f"{kind}, which nobody hears, is in no stem: it stays in the residual")
        if self.source.sample_rate_hz > self.signal.sample_rate_hz:
            above = {
                "top": "repeat the average mask of the model's top band",
                "mute": "are silent",
                "keep": "hold the whole mixture",
            }
            notes.append(
                f"{USUAL_NOTE} {self.signal.sample_rate_hz / 2000:g} kHz, which the model does not hear, stems "
                f"{above[self._above_nyquist]}"
            )
        return tuple(notes)
