"""Augmentations of one source before it is mixed: the drawn choices are data, and applying them is pure.

All steps are linear filters and resampling, done with one forward and one inverse FFT, so that a training sample costs
milliseconds. This file knows no label, query or network.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import fft

from trisep.errors import ConfigError

_EQ_EDGES_HZ = (60.0, 120.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentationConfig:
    """Probabilities and ranges of the augmentations. The defaults change nothing."""

    resample_probability: float = 0.0
    """Probability of playing faster or slower: pitch and tempo change together."""
    resample_semitones: float = 2.0
    """Largest shift either way."""
    room_probability: float = 0.0
    """Probability of a synthetic room: exponentially decaying noise after a few early reflections."""
    room_decay_seconds: tuple[float, float] = (0.15, 0.9)
    """Range of the reverberation time T60."""
    room_direct_db: tuple[float, float] = (-3.0, 12.0)
    """Range of the direct-to-reverberant energy ratio."""
    equalizer_probability: float = 0.0
    """Probability of a smooth random gain over octave bands, as other microphones and instruments have."""
    equalizer_db: float = 9.0
    """Largest gain either way per octave band."""
    codec_probability: float = 0.0
    """Probability of a low-pass and noise shaped like the signal's own spectrum, as codecs of low
    bit rate leave behind."""
    codec_cutoff_hz: tuple[float, float] = (3000.0, 7500.0)
    """Range of the cut-off frequency of the low-pass."""
    codec_noise_db: tuple[float, float] = (-35.0, -15.0)
    """Range of the level of the noise relative to the signal, per band."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("resample_probability", "room_probability", "equalizer_probability", "codec_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}: expected a probability between 0 and 1, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """Choices drawn for one source; `None` leaves that step out."""

    speed: float = 1.0
    """Playback speed: 2 is an octave higher and half as long."""
    room: tuple[float, float, int] | None = None
    """Decay in seconds, direct-to-reverberant ratio in dB, seed of the noise."""
    equalizer_db: tuple[float, ...] | None = None
    """Gain at each octave edge."""
    codec: tuple[float, float, int] | None = None
    """Cut-off in Hz, noise level in dB, seed of the noise."""


def draw(config: AugmentationConfig, generator: np.random.Generator) -> Augmentation:
    """Draw the choices for one source.

    The number of draws does not depend on their outcome, so that settings can be compared.
    """
    chances = generator.random(4)
    semitones = generator.uniform(-config.resample_semitones, config.resample_semitones)
    room = (
        generator.uniform(*config.room_decay_seconds),
        generator.uniform(*config.room_direct_db),
        int(generator.integers(2**31)),
    )
    gains = tuple(generator.uniform(-config.equalizer_db, config.equalizer_db, len(_EQ_EDGES_HZ)).tolist())
    codec = (
        generator.uniform(*config.codec_cutoff_hz),
        generator.uniform(*config.codec_noise_db),
        int(generator.integers(2**31)),
    )
    return Augmentation(
        speed=2 ** (semitones / 12) if chances[0] < config.resample_probability else 1.0,
        room=room if chances[1] < config.room_probability else None,
        equalizer_db=gains if chances[2] < config.equalizer_probability else None,
        codec=codec if chances[3] < config.codec_probability else None,
    )


def samples_needed(num_samples: int, choice: Augmentation) -> int:
    """Compute the number of samples that give `num_samples` after the change of speed."""
    return int(fft.next_fast_len(round(num_samples * choice.speed), real=True))


def apply(
    waveform: Float[np.ndarray, "S"], choice: Augmentation, *, num_samples: int, sample_rate_hz: int
) -> Float[np.ndarray, "S2"]:
    """Apply the choices; the result is `num_samples` long and has the RMS of the source.

    `waveform` holds `samples_needed` samples. Filters are zero-phase but for the room, whose direct
    sound stays in place.
    """
    level = _rms(waveform)
    result = waveform.astype(np.float32, copy=False)
    if choice.speed != 1.0:
        result = _resample(result, choice.speed)
    result = np.pad(result[:num_samples], (0, max(0, num_samples - len(result))))
    if choice.room or choice.equalizer_db or choice.codec:
        result = _filter(result, choice, sample_rate_hz)
    return (result * (level / max(_rms(result), 1e-9))).astype(np.float32)


def _resample(waveform: Float[np.ndarray, "S"], speed: float) -> Float[np.ndarray, "S2"]:
    """Change the length without aliasing, by cutting or padding the spectrum; the clip is treated as periodic."""
    target = fft.next_fast_len(round(len(waveform) / speed), real=True)
    spectrum = fft.rfft(waveform)
    kept = min(len(spectrum), target // 2 + 1)
    changed = np.zeros(target // 2 + 1, np.complex64)
    changed[:kept] = spectrum[:kept]
    resampled: np.ndarray = fft.irfft(changed, target) * np.float32(target / len(waveform))
    return resampled


def _filter(waveform: Float[np.ndarray, "S"], choice: Augmentation, sample_rate_hz: int) -> Float[np.ndarray, "S"]:
    room = _room_response(choice.room, sample_rate_hz) if choice.room else None
    size = fft.next_fast_len(len(waveform) + (0 if room is None else len(room)), real=True)
    spectrum = fft.rfft(waveform, size)
    frequencies = np.fft.rfftfreq(size, 1 / sample_rate_hz)
    if choice.equalizer_db:
        gains_db = np.interp(np.log(frequencies + 1.0), np.log(_EQ_EDGES_HZ), choice.equalizer_db)
        spectrum *= (10 ** (gains_db / 20)).astype(np.float32)
    if room is not None:
        spectrum *= fft.rfft(room, size)
    if choice.codec:
        cutoff_hz, noise_db, seed = choice.codec
        noise = np.random.default_rng(seed).standard_normal(len(waveform), dtype=np.float32)
        envelope = np.abs(spectrum)
        envelope = np.convolve(envelope, np.full(65, 1 / 65, np.float32), mode="same")
        shaped = fft.rfft(noise * _loudness(waveform), size)
        shaped *= envelope / max(float(np.sqrt(np.mean(np.abs(shaped) ** 2))), 1e-9)
        spectrum = (spectrum + np.float32(10 ** (noise_db / 20)) * shaped) * (frequencies < cutoff_hz)
    filtered: np.ndarray = fft.irfft(spectrum.astype(np.complex64), size)[: len(waveform)]
    return filtered


def _room_response(room: tuple[float, float, int], sample_rate_hz: int) -> Float[np.ndarray, "R"]:
    """Build a room response: a unit impulse, then a tail of decaying noise.

    The direct-to-reverberant ratio sets the energy of the tail, which has fallen by 60 dB after the decay time.
    """
    decay_seconds, direct_db, seed = room
    generator = np.random.default_rng(seed)
    times = np.arange(int(decay_seconds * sample_rate_hz), dtype=np.float32) / sample_rate_hz
    tail = generator.standard_normal(len(times), dtype=np.float32) * np.exp(-6.9 * times / decay_seconds)
    tail[: int(generator.uniform(0.001, 0.02) * sample_rate_hz)] = 0
    reflections = generator.integers(int(0.003 * sample_rate_hz), int(0.05 * sample_rate_hz), 6)
    tail[reflections] += generator.uniform(-3, 3, 6).astype(np.float32)
    tail *= np.float32(10 ** (-direct_db / 20) / max(float(np.sqrt(np.sum(tail**2))), 1e-9))
    tail[0] = 1.0
    return tail


def _loudness(waveform: Float[np.ndarray, "S"], block: int = 512) -> Float[np.ndarray, "S"]:
    """Compute the RMS of each block of samples, held over the block."""
    blocks = np.pad(waveform, (0, -len(waveform) % block)).reshape(-1, block)
    return np.repeat(np.sqrt(np.mean(blocks**2, axis=1)), block)[: len(waveform)]


def _rms(waveform: Float[np.ndarray, "S"]) -> float:
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64)))) if len(waveform) else 0.0
