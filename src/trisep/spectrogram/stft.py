"""The short-time Fourier transform and its inverse, with the settings of one model, of a whole sound or block by block.

`StreamedSTFT` and `OverlapAdd` are `stft` and `istft` in bounded memory for sound that arrives in blocks. Frame k is
centred on sample k · hop and reaches half a window to either side; beyond the ends lie zeros. In the streamed forms
frames come before frequencies ([…, K, F], time not last), because each frame is transformed on its own. This file knows
no masks and no files.
"""

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from trisep.types import SignalSettings


def num_frames(num_samples: int, settings: SignalSettings) -> int:
    """Count the frames of the centred transform of `num_samples` samples: 1 + ⌊S / hop⌋."""
    return 1 + num_samples // settings.hop_samples


def stft(waveform: Float[Tensor, "*B S"], settings: SignalSettings) -> Complex[Tensor, "*B F T"]:
    """Compute the centred STFT with a periodic Hann window, zero-padded at both ends.

    Source: spec section 1 (all papers). Deviation: zeros instead of a reflected border, so that the transform of a file
    does not depend on how it is cut into segments, and a clip may be shorter than half a window.
    """
    window = torch.hann_window(settings.window_samples, device=waveform.device, dtype=waveform.dtype)
    flat = waveform.reshape(-1, waveform.shape[-1])
    spectrum = torch.stft(
        flat,
        settings.window_samples,
        settings.hop_samples,
        window=window,
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    return spectrum.reshape(*waveform.shape[:-1], *spectrum.shape[-2:])


def istft(spectrum: Complex[Tensor, "*B F T"], settings: SignalSettings, num_samples: int) -> Float[Tensor, "*B S"]:
    """Invert `stft` to `num_samples` samples; it is exact up to rounding where the spectrum was not changed."""
    window = torch.hann_window(settings.window_samples, device=spectrum.device, dtype=spectrum.real.dtype)
    flat = spectrum.reshape(-1, *spectrum.shape[-2:])
    waveform = torch.istft(
        flat, settings.window_samples, settings.hop_samples, window=window, center=True, length=num_samples
    )
    return waveform.reshape(*spectrum.shape[:-2], num_samples)


class StreamedSTFT:
    """Takes samples in any portions and returns the frames that are complete.

    Example:
        >>> stream = StreamedSTFT(SignalSettings(), num_channels=1)
        >>> parts = [stream.push(block) for block in torch.randn(3, 1, 5000)] + [stream.finish()]
        >>> torch.cat(parts, dim=1).shape
        torch.Size([1, 59, 513])
    """

    def __init__(self, settings: SignalSettings, *, num_channels: int, device: torch.device | str = "cpu") -> None:
        """Start before the first sample."""
        self.settings = settings
        self.num_samples = 0
        """Samples taken so far."""
        self.num_frames = 0
        """Frames returned so far."""
        self._window = torch.hann_window(settings.window_samples, device=device)
        self._waiting = torch.zeros(num_channels, settings.window_samples // 2, device=device)

    def push(self, samples: Float[Tensor, "C n"]) -> Complex[Tensor, "C K F"]:
        """Append samples and return the frames that they complete, K ≥ 0."""
        self.num_samples += samples.shape[1]
        self._waiting = torch.cat([self._waiting, samples], dim=1)
        return self._take(
            max(0, 1 + (self._waiting.shape[1] - self.settings.window_samples) // self.settings.hop_samples)
        )

    def finish(self) -> Complex[Tensor, "C K F"]:
        """End the sound and return the remaining frames, 1 + ⌊S / hop⌋ in all."""
        missing = 1 + self.num_samples // self.settings.hop_samples - self.num_frames
        needed = (missing - 1) * self.settings.hop_samples + self.settings.window_samples
        self._waiting = torch.nn.functional.pad(self._waiting, (0, max(0, needed - self._waiting.shape[1])))
        return self._take(missing)

    def _take(self, num_frames: int) -> Complex[Tensor, "C K F"]:
        """Transform the next frames and drop the samples that no later frame reads."""
        window, hop = self.settings.window_samples, self.settings.hop_samples
        if num_frames < 1:
            return torch.zeros(
                len(self._waiting), 0, self.settings.num_bins, dtype=torch.complex64, device=self._waiting.device
            )
        frames = self._waiting[:, : (num_frames - 1) * hop + window].unfold(1, window, hop)
        self._waiting = self._waiting[:, num_frames * hop :].clone()
        self.num_frames += num_frames
        spectra: Tensor = torch.fft.rfft(frames * self._window)
        return spectra


class OverlapAdd:
    """The inverse: it takes consecutive frames and returns the samples that no later frame can change.

    Each frame is windowed again and the sum is divided by the sum of squared windows, so an unchanged spectrum comes
    back exactly up to rounding, the first and last half window included (Griffin & Lim 1984, Eq. 6).
    """

    def __init__(self, settings: SignalSettings, *, num_signals: int, device: torch.device | str = "cpu") -> None:
        """Start before the first frame; `num_signals` is N, the number of signals side by side."""
        self.settings = settings
        self._window = torch.hann_window(settings.window_samples, device=device)
        self._blocks_per_frame = -(-settings.window_samples // settings.hop_samples)
        # The last row of the sums is the sum of squared windows.
        self._sums = torch.zeros(num_signals + 1, self._blocks_per_frame - 1, settings.hop_samples, device=device)
        self._to_skip = settings.window_samples // 2

    def push(self, spectra: Complex[Tensor, "N K F"]) -> Float[Tensor, "N n"]:
        """Add the next K frames and return the samples that they complete, the first time from sample 0."""
        num_frames, hop = spectra.shape[1], self.settings.hop_samples
        if num_frames == 0:
            return torch.zeros(len(self._sums) - 1, 0, device=self._sums.device)
        sums = torch.nn.functional.pad(self._sums, (0, 0, 0, num_frames))
        frames = torch.fft.irfft(spectra, self.settings.window_samples) * self._window
        for index in range(self._blocks_per_frame):
            part = frames[..., index * hop : (index + 1) * hop]
            squares = self._window[index * hop : (index + 1) * hop].square()
            sums[:-1, index : index + num_frames, : part.shape[-1]] += part
            sums[-1, index : index + num_frames, : len(squares)] += squares
        self._sums = sums[:, num_frames:].clone()
        return self._normalized(sums[:, :num_frames])

    def finish(self) -> Float[Tensor, "N n"]:
        """End the frames and return the remaining samples, up to half a window beyond the centre of the last frame."""
        return self._normalized(self._sums)

    def _normalized(self, sums: Float[Tensor, "M B H"]) -> Float[Tensor, "N n"]:
        """Divide by the sum of squared windows; leave out what lies before sample 0."""
        flat = sums.flatten(1)
        skipped = min(self._to_skip, flat.shape[1])
        self._to_skip -= skipped
        return flat[:-1, skipped:] / flat[-1, skipped:].clamp_min(1e-11)
