"""Masks of a sound of any length, one segment in memory: how far a model looks, where segments begin, and how they are joined.

It knows a model only as a function from log-magnitude to masks, and no files.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from trisep.errors import ConfigError
from trisep.spectrogram.log_frequency import to_log_frequency
from trisep.spectrogram.overlap_add import StreamedSTFT
from trisep.types import MaskOutput, SignalSettings

Network = Callable[[Float[Tensor, "B 1 256 T"]], MaskOutput]
_INFLUENCE = 1e-5
_LARGEST_REACH_MULTIPLES = 32
"""A network that looks further than so many times its `time_multiple` is taken to look everywhere."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentPlan:
    """How frames are grouped for the network, in frames of the model's grid."""

    time_multiple: int
    """Segments start at multiples of this."""
    num_core_frames: int
    """How far one segment is from the next."""
    num_context_frames: int
    """Read on either side of the core, and thrown away but for the cross-fade."""
    num_fade_frames: int
    """The cross-fade reaches so far to either side of a joint."""

    def __post_init__(self) -> None:
        """Check that the parts fit each other."""
        lengths = (self.num_core_frames, self.num_context_frames)
        if min(lengths) < self.time_multiple or any(length % self.time_multiple for length in lengths):
            raise ConfigError(f"core and context must be multiples of {self.time_multiple} frames, not {lengths}")
        if not 0 < 2 * self.num_fade_frames <= min(self.num_core_frames, 2 * self.num_context_frames):
            raise ConfigError(f"a cross-fade of {self.num_fade_frames} frames does not fit the segments")


@dataclass(frozen=True, slots=True)
class MaskSegment:
    """Masks of consecutive frames of the model's grid."""

    masks: Float[Tensor, "Q 256 n"]
    logits: Float[Tensor, "Q 256 n"] | None
    magnitude: Float[Tensor, "256 n"]
    """Of the mono mixture on the log-frequency grid, at the training level."""
    is_last: bool

    def part(self, frames: slice) -> "MaskSegment":
        """Some of the frames."""
        logits = None if self.logits is None else self.logits[..., frames]
        return MaskSegment(self.masks[..., frames], logits, self.magnitude[..., frames], self.is_last)

    def copy(self) -> "MaskSegment":
        """The same with memory of its own, so that a part does not keep the whole alive."""
        logits = None if self.logits is None else self.logits.clone()
        return MaskSegment(self.masks.clone(), logits, self.magnitude.clone(), self.is_last)


def plan_segments(settings: SignalSettings, *, segment_seconds: float, reach_frames: int, time_multiple: int) -> SegmentPlan:
    """Segments of about `segment_seconds` (at least one `time_multiple`), with context that covers `reach_frames` and the cross-fade."""
    fade = max(1, time_multiple // 16)
    frames = segment_seconds * settings.sample_rate_hz / settings.hop_samples
    return SegmentPlan(
        time_multiple=time_multiple,
        num_core_frames=max(1, round(frames / time_multiple)) * time_multiple,
        num_context_frames=-(-(reach_frames + fade) // time_multiple) * time_multiple,
        num_fade_frames=fade,
    )


def measure_reach(network: Network, *, time_multiple: int, device: torch.device | str = "cpu") -> int:
    """How many frames away an input frame can still change a mask: half the receptive field, measured and not derived.

    On noise, everything before (then after) a multiple of `time_multiple` is replaced by other noise; the furthest frame beyond whose
    logits (masks, if there are none) change by more than 1e-5 of their maximum
    is the reach. The field of view is doubled until the change dies out within it, up to 32 multiples.
    """
    generator = torch.Generator().manual_seed(0)
    multiples = 4
    while True:
        half = multiples * time_multiple
        noise, other = torch.randn(2, 1, 1, 256, 2 * half, generator=generator) * 3 - 4
        is_late = torch.arange(2 * half) >= half
        spectrograms = (noise, torch.where(is_late, noise, other), torch.where(is_late, other, noise))
        outputs = [network(x.to(device)) for x in spectrograms]
        maps, *changed = [(output.masks if output.logits is None else output.logits).cpu() for output in outputs]
        by_frame = [(x - maps).abs().amax(dim=(0, 1, 2)) > _INFLUENCE * maps.abs().max() for x in changed]
        reach = max(_last_true(by_frame[0][half:]), _last_true(by_frame[1][:half].flip(0)))
        if reach < half or multiples >= _LARGEST_REACH_MULTIPLES:
            return reach
        multiples *= 2


def mask_segments(
    mono: Iterator[Float32[np.ndarray, "n"]],
    network: Network,
    settings: SignalSettings,
    plan: SegmentPlan,
    *,
    gain: float = 1.0,
    device: torch.device | str = "cpu",
) -> Iterator[MaskSegment]:
    """Masks of a whole sound, 1 + ⌊S / hop⌋ frames in all; each segment is run with context, cropped, and cross-faded with the next.

    Frame 0 is where the first segment begins, as in training; after the last frame comes silence up to a multiple. So the result equals
    one run over everything as soon as the context covers the reach, if the network is equivariant to shifts by `time_multiple`.

    Args:
        mono: the sound at the model's rate, in blocks.
        network: log-magnitude [1, 1, 256, T] → masks.
        settings: the model's signal chain.
        plan: how frames are grouped.
        gain: factor that brings the sound to the training level.
        device: where the network runs.
    """
    reader = _FrameReader(mono, settings, gain, device)
    fade, core, tail = plan.num_fade_frames, 0, None
    while True:
        end = core + plan.num_core_frames + plan.num_context_frames
        reader.read_until(end)
        if reader.num_frames is not None:
            end = min(end, -(-reader.num_frames // plan.time_multiple) * plan.time_multiple)
        is_last = end <= core + plan.num_core_frames
        begin = max(0, core - plan.num_context_frames)
        magnitude = reader.magnitude(begin, end)
        output = network(torch.log(magnitude + 1e-10)[None, None])
        logits = None if output.logits is None else output.logits[0]
        first = core if tail is None else core - fade
        stop = reader.num_frames if is_last else core + plan.num_core_frames + fade
        frames = slice(first - begin, None if stop is None else stop - begin)
        segment = MaskSegment(output.masks[0], logits, magnitude, is_last).part(frames)
        joined = segment if tail is None else _cross_faded(tail, segment)
        if is_last:
            yield joined
            return
        held = joined.masks.shape[-1] - 2 * fade
        tail = joined.part(slice(held, None)).copy()
        yield joined.part(slice(0, held))
        core += plan.num_core_frames
        reader.drop_before(core - plan.num_context_frames)


def _cross_faded(tail: MaskSegment, segment: MaskSegment) -> MaskSegment:
    """`segment`, its beginning faded in over `tail`, which covers the same frames (or reaches beyond the last)."""
    length = min(tail.masks.shape[-1], segment.masks.shape[-1])
    weight = ((torch.arange(tail.masks.shape[-1]) + 0.5) / tail.masks.shape[-1])[:length].to(segment.masks.device)

    def joined(old: Tensor, new: Tensor) -> Tensor:
        """Cross-fade the two over their first frames."""
        return torch.cat([torch.lerp(old[..., :length], new[..., :length], weight), new[..., length:]], dim=-1)

    logits = None if segment.logits is None or tail.logits is None else joined(tail.logits, segment.logits)
    return MaskSegment(joined(tail.masks, segment.masks), logits, segment.magnitude, segment.is_last)


def _last_true(flags: Tensor) -> int:
    """1 + the place of the last true value; 0 when there is none."""
    places = flags.nonzero()
    return int(places[-1]) + 1 if len(places) else 0


class _FrameReader:
    """Magnitudes on the log grid, of a window that moves over the frames of a sound."""

    def __init__(self, mono: Iterator[Float32[np.ndarray, "n"]], settings: SignalSettings, gain: float, device: torch.device | str) -> None:
        self._mono, self._settings, self._gain, self._device = mono, settings, gain, device
        self._spectra = StreamedSTFT(settings, num_channels=1, device=device)
        self._first = 0
        self._parts: list[Tensor] = []
        self.num_frames: int | None = None
        """How many frames there are; None as long as the end has not been reached."""

    def read_until(self, frame: int) -> None:
        """Read on until so many frames are known or the sound ends."""
        while self.num_frames is None and self._spectra.num_frames < frame:
            block = next(self._mono, None)
            if block is None:
                self._append(self._spectra.finish())
                self.num_frames = self._spectra.num_frames
            elif len(block):
                self._append(self._spectra.push(torch.from_numpy(block).to(self._device)[None]))

    def magnitude(self, begin: int, end: int) -> Float[Tensor, "256 n"]:
        """Of frames `begin` to `end`; zero beyond the last."""
        joined = torch.cat(self._parts, dim=-1)
        self._parts = [joined]
        part = joined[:, begin - self._first : end - self._first]
        return torch.nn.functional.pad(part, (0, end - begin - part.shape[1]))

    def drop_before(self, frame: int) -> None:
        """Forget earlier frames."""
        surplus = max(0, frame - self._first)
        self._parts = [torch.cat(self._parts, dim=-1)[:, surplus:].clone()]
        self._first += surplus

    def _append(self, spectra: Tensor) -> None:
        """Take spectra [1, K, F]."""
        magnitude = spectra[0].abs().T * self._gain
        self._parts.append(to_log_frequency(magnitude, self._settings.num_log_bins))
