"""The inference chain: a mono sound at the rate of a model → masks. Separation, evaluation, validation and analyses all
call it.

    level → STFT → log-frequency grid → log, frames mirrored up to the length that the network takes → network → crop

A sound of any length is run in segments with context, so that one segment is in memory; `infer` runs a sound in memory.
Before the level, what nobody hears is taken out (`media/heard.py`): an offset and rumble that are large beside the
sound. This file knows a model only as a function from log-magnitude to masks, and no files. `estimate` is the chain of
a model of waveforms: level → network → level.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from trisep.errors import ConfigError
from trisep.media.heard import heard
from trisep.media.level import gain_between
from trisep.spectrogram.log_frequency import log_magnitude, to_log_frequency
from trisep.spectrogram.stft import StreamedSTFT, num_frames
from trisep.types import MaskOutput, SignalSettings

Network = Callable[[Float[Tensor, "B 1 256 T"]], MaskOutput]
WaveformNetwork = Callable[[Float[Tensor, "B S"]], Float[Tensor, "B Q S2"]]
_INFLUENCE = 1e-5
_LARGEST_REACH_MULTIPLES = 32
"""A network that looks further than so many times its `time_multiple` is taken to look everywhere."""


def network_input(magnitude: Float[Tensor, "B 256 n"], num_frames: int) -> Float[Tensor, "B 1 256 T"]:
    """The logarithm of magnitudes on the log grid, at the level of training, filled up to T = `num_frames` ≥ n frames.

    The frames that are lacking are the last ones mirrored: silence up to a multiple, which no training clip has, costs
    the last quarter of a second some 10 dB (docs/experiments).
    """
    length = magnitude.shape[-1]
    return log_magnitude(
        magnitude if num_frames <= length else magnitude[..., _mirrored(num_frames, length).to(magnitude.device)]
    )


def round_up(num_frames: int, multiple: int) -> int:
    """The next multiple."""
    return -(-num_frames // multiple) * multiple


def run_network(network: Network, magnitude: Float[Tensor, "B 256 n"], num_frames: int) -> MaskOutput:
    """Masks of n frames of magnitude on the log grid, at the level of training, from a network that takes `num_frames`
    ≥ n.
    """
    length = magnitude.shape[-1]
    output = network(network_input(magnitude, num_frames))
    return MaskOutput(
        masks=output.masks[..., :length],
        logits=None if output.logits is None else output.logits[..., :length],
        noise_masks=None if output.noise_masks is None else output.noise_masks[..., :length],
        bottleneck=output.bottleneck,
    )


def _mirrored(num_frames: int, length: int) -> Tensor:
    """Indices 0 … length−1, then back, then forth again: `num_frames` of them. The frames at the ends
    are not repeated.
    """
    period = max(1, 2 * (length - 1))
    index = torch.arange(num_frames) % period
    return torch.minimum(index, period - index) if length > 1 else torch.zeros(num_frames, dtype=torch.long)


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentPlan:
    """How frames are grouped for the network, in frames of the grid of the model."""

    time_multiple: int
    """The network takes multiples of this, and segments start at multiples of it where the network is equivariant to
    such shifts.
    """
    num_core_frames: int
    """How far one segment is from the next."""
    num_context_frames: int
    """Read on either side of the core, and thrown away but for the cross-fade."""
    num_fade_frames: int
    """The cross-fade reaches so far to either side of a joint."""
    num_window_frames: int = 0
    """The network is always given at least so many frames; for a network whose answer depends on how many it is given.
    """

    def __post_init__(self) -> None:
        """Check that the parts fit each other."""
        lengths = (self.num_core_frames, self.num_context_frames)
        if min(lengths) < 1 or (not self.num_window_frames and any(length % self.time_multiple for length in lengths)):
            raise ConfigError(f"core and context must be multiples of {self.time_multiple} frames, not {lengths}")
        if self.num_window_frames not in (0, self.num_core_frames + 2 * self.num_context_frames):
            raise ConfigError(f"a window of {self.num_window_frames} frames is not core and context, {lengths}")
        if not 0 < 2 * self.num_fade_frames <= min(self.num_core_frames, 2 * self.num_context_frames):
            raise ConfigError(f"a cross-fade of {self.num_fade_frames} frames does not fit the segments")


def plan_segments(
    settings: SignalSettings, *, segment_seconds: float, reach_frames: int, time_multiple: int
) -> SegmentPlan:
    """Segments of about `segment_seconds` (at least one `time_multiple`), with the least context that covers
    `reach_frames` and a cross-fade of a frame.

    For a network that is equivariant to shifts by `time_multiple`: the result then does not depend on the plan, but for
    rounding and the 1e-5 of its range below which `measure_reach` takes an influence for none. So the cross-fade has
    nothing to hide, and takes what room the context leaves it.
    """
    context = round_up(reach_frames + 1, time_multiple)
    fade = max(1, min(time_multiple // 16, context - reach_frames))
    return SegmentPlan(
        time_multiple=time_multiple,
        num_core_frames=core_frames(settings, segment_seconds, time_multiple),
        num_context_frames=context,
        num_fade_frames=fade,
    )


def core_frames(settings: SignalSettings, segment_seconds: float, time_multiple: int) -> int:
    """The multiple of `time_multiple` nearest to a length in seconds, at least one."""
    return (
        max(1, round(segment_seconds * settings.sample_rate_hz / settings.hop_samples / time_multiple)) * time_multiple
    )


def plan_windows(settings: SignalSettings, *, time_multiple: int) -> SegmentPlan:
    """Windows of the length of a training clip that overlap by half, whatever length of segment is asked for.

    For a network that is not equivariant to shifts, such as one that up-samples bilinearly with aligned corners: its
    answer depends on how many frames it is given, so it is given as many as in training.
    """
    window = round_up(num_frames(settings.clip_samples, settings), time_multiple)
    quarter = window // 4
    return SegmentPlan(
        time_multiple=time_multiple,
        num_core_frames=window - 2 * quarter,
        num_context_frames=quarter,
        num_fade_frames=max(1, quarter // 4),
        num_window_frames=window,
    )


@dataclass(frozen=True, slots=True)
class MaskSegment:
    """Masks of consecutive frames of the grid of the model."""

    masks: Float[Tensor, "Q 256 n"]
    logits: Float[Tensor, "Q 256 n"] | None
    noise_masks: Float[Tensor, "J 256 n"] | None
    magnitude: Float[Tensor, "256 n"]
    """Of the mono mixture on the log-frequency grid, at the level of training."""
    is_last: bool

    def map(self, change: Callable[[Tensor], Tensor]) -> "MaskSegment":
        """The same change made to everything that has frames."""
        logits, noise = (None if x is None else change(x) for x in (self.logits, self.noise_masks))
        return MaskSegment(change(self.masks), logits, noise, change(self.magnitude), self.is_last)

    def part(self, frames: slice) -> "MaskSegment":
        """Some of the frames."""
        return self.map(lambda values: values[..., frames])


def infer(
    sound: Float[np.ndarray, "S"],
    network: Network,
    settings: SignalSettings,
    plan: SegmentPlan,
    *,
    device: torch.device | str = "cpu",
) -> MaskSegment:
    """All masks of a sound in memory, at the rate of the model and at any level."""
    sound, level_db = heard(sound, settings.sample_rate_hz)
    gain = float(gain_between(level_db, settings.mixture_level_db))
    return join(list(mask_segments([sound], network, settings, plan, gain=gain, device=device)))


def estimate(
    sound: Float[np.ndarray, "S"],
    network: WaveformNetwork,
    settings: SignalSettings,
    *,
    context_samples: int,
    device: torch.device | str = "cpu",
) -> Float[np.ndarray, "Q S"]:
    """All estimates of a sound in memory by a network of waveforms, at the rate of the model and at any level.

    The sound is run as a whole, with silence for `context_samples` beyond either end.
    """
    sound, level_db = heard(sound, settings.sample_rate_hz)
    gain = gain_between(level_db, settings.mixture_level_db)
    padded = np.pad(sound * gain, context_samples)
    estimates: Float[np.ndarray, "Q S"] = network(torch.from_numpy(padded)[None].to(device))[0].cpu().numpy() / gain
    return estimates


def join(segments: list[MaskSegment]) -> MaskSegment:
    """Consecutive segments as one."""

    def joined(parts: list[Tensor | None]) -> Tensor | None:
        """The parts one after the other, where every segment has one."""
        there = [part for part in parts if part is not None]
        return torch.cat(there, dim=-1) if len(there) == len(segments) else None

    masks, magnitude = (torch.cat([getattr(one, name) for one in segments], dim=-1) for name in ("masks", "magnitude"))
    return MaskSegment(
        masks, joined([one.logits for one in segments]), joined([one.noise_masks for one in segments]), magnitude, True
    )


def mask_segments(
    mono: Iterable[Float32[np.ndarray, "n"]],
    network: Network,
    settings: SignalSettings,
    plan: SegmentPlan,
    *,
    gain: float = 1.0,
    device: torch.device | str = "cpu",
) -> Iterator[MaskSegment]:
    """Masks of a whole sound, 1 + ⌊S / hop⌋ frames in all; each segment is run with context, cropped, and cross-faded
    with the next.

    Frame 0 is where the first segment begins, as in training; the last segment reaches the end and is mirrored there.
    So the result equals one run over everything as soon as the context covers the reach, if the network is equivariant
    to shifts by `time_multiple`.

    Args:
        mono: the sound at the rate of the model, in blocks.
        network: log-magnitude [1, 1, 256, T] → masks.
        settings: the signal chain of the model.
        plan: how frames are grouped.
        gain: factor that brings the sound to the level of training.
        device: where the network runs.
    """
    reader = _FrameReader(iter(mono), settings, gain, device)
    fade, core, tail = plan.num_fade_frames, 0, None
    while True:
        begin = max(0, core - plan.num_context_frames)
        end = max(core + plan.num_core_frames + plan.num_context_frames, begin + plan.num_window_frames)
        reader.read_until(end)
        stop = end if reader.num_frames is None else min(end, reader.num_frames)
        is_last = stop == reader.num_frames
        first = core if tail is None else core - fade
        frames = slice(first - begin, None if is_last else core + plan.num_core_frames + fade - begin)
        segment = _segment(reader.magnitude(begin, stop), network, plan, is_last=is_last).part(frames)
        segment = segment if tail is None else _cross_faded(tail, segment)
        if is_last:
            yield segment
            return
        held = segment.masks.shape[-1] - 2 * fade
        # Memory of its own, so that the small tail does not keep the whole segment alive.
        tail = segment.part(slice(held, None)).map(Tensor.clone)
        segment = segment.part(slice(held))
        yield segment
        del segment  # before the next one is computed
        core += plan.num_core_frames
        reader.drop_before(core - plan.num_context_frames)


def _segment(magnitude: Float[Tensor, "256 n"], network: Network, plan: SegmentPlan, *, is_last: bool) -> MaskSegment:
    """Run the network over the frames of a segment and its context."""
    length = max(round_up(magnitude.shape[-1], plan.time_multiple), plan.num_window_frames)
    output = run_network(network, magnitude[None], length)
    logits, noise = (None if x is None else x[0] for x in (output.logits, output.noise_masks))
    return MaskSegment(output.masks[0], logits, noise, magnitude, is_last)


def measure_reach(network: Network, *, time_multiple: int, device: torch.device | str = "cpu") -> int:
    """How many frames away an input frame can still change a mask: half the receptive field, measured and not derived.

    On noise, everything before (then after) a multiple of `time_multiple` is replaced by other noise; the furthest
    frame beyond whose logits (masks, if there are none) change by more than 1e-5 of their maximum is the reach. The
    field of view is doubled until the change dies out within it, up to 32 multiples.
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


def _cross_faded(tail: MaskSegment, segment: MaskSegment) -> MaskSegment:
    """`segment`, its beginning faded in over `tail`, which covers the same frames (or reaches beyond the last)."""
    length = min(tail.masks.shape[-1], segment.masks.shape[-1])
    weight = ((torch.arange(tail.masks.shape[-1]) + 0.5) / tail.masks.shape[-1])[:length].to(segment.masks.device)

    def faded(old: Tensor | None, new: Tensor | None) -> Tensor | None:
        """Cross-fade the two over their first frames."""
        if old is None or new is None:
            return None
        return torch.cat([torch.lerp(old[..., :length], new[..., :length], weight), new[..., length:]], dim=-1)

    masks = faded(tail.masks, segment.masks)
    assert masks is not None
    logits, noise = faded(tail.logits, segment.logits), faded(tail.noise_masks, segment.noise_masks)
    return replace(segment, masks=masks, logits=logits, noise_masks=noise)


def _last_true(flags: Tensor) -> int:
    """1 + the place of the last true value; 0 when there is none."""
    places = flags.nonzero()
    return int(places[-1]) + 1 if len(places) else 0


class _FrameReader:
    """Magnitudes on the log grid, of a window that moves over the frames of a sound."""

    def __init__(
        self,
        mono: Iterator[Float32[np.ndarray, "n"]],
        settings: SignalSettings,
        gain: float,
        device: torch.device | str,
    ) -> None:
        self._mono, self._settings, self._gain, self._device = mono, settings, gain, device
        self._spectra = StreamedSTFT(settings, num_channels=1, device=device)
        self._first = 0
        self._parts: list[Tensor] = []
        self.num_frames: int | None = None
        """How many frames there are; None as long as the end has not been reached."""

    def read_until(self, frame: int) -> None:
        """Read on until more than so many frames are known or the sound ends."""
        while self.num_frames is None and self._spectra.num_frames <= frame:
            block = next(self._mono, None)
            if block is None:
                self._append(self._spectra.finish())
                self.num_frames = self._spectra.num_frames
            elif len(block):
                self._append(self._spectra.push(torch.from_numpy(block).to(self._device)[None]))

    def magnitude(self, begin: int, end: int) -> Float[Tensor, "256 n"]:
        """Of frames `begin` to `end`, which have been read."""
        self._parts = [torch.cat(self._parts, dim=-1)]
        return self._parts[0][:, begin - self._first : end - self._first]

    def drop_before(self, frame: int) -> None:
        """Forget earlier frames."""
        surplus = max(0, frame - self._first)
        self._parts = [torch.cat(self._parts, dim=-1)[:, surplus:].clone()]
        self._first += surplus

    def _append(self, spectra: Tensor) -> None:
        """Take spectra [1, K, F]."""
        magnitude = spectra[0].abs().T * self._gain
        self._parts.append(to_log_frequency(magnitude, self._settings.num_log_bins))
