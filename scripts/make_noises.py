"""Write off-screen noises that nobody recorded: coloured noise, hums, engines, rattles and sirens, drawn from a seed,
free of any rights.

    python scripts/make_noises.py FOLDER [--count 150] [--seconds 8] [--seed 0]
    trisep prepare FOLDER --audio-only-ok --out noises

The default model hears them as sounds that no query names (`trisep train … --offscreen noises`).
"""

import argparse
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.signal import butter, sosfilt

from trisep.media.audio_writer import write_audio
from trisep.types import Audio

RATE_HZ = 16000
RMS = 0.1

Sound = Float[np.ndarray, "S"]


def main() -> None:
    """Write `--count` noises, each a pure function of seed and number."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    kinds = (coloured, hum, engine, rattle, siren)
    times = np.arange(int(arguments.seconds * RATE_HZ)) / RATE_HZ
    for number in range(arguments.count):
        generator = np.random.default_rng([arguments.seed, number])
        kind = kinds[number % len(kinds)]
        sound = kind(times, generator) * wander(times, generator, low=0.4, high=1.0)
        sound *= RMS / np.sqrt(np.mean(sound**2))
        path = arguments.folder / f"{kind.__name__}_{number:03d}.wav"
        write_audio(path, Audio(sound[None].astype(np.float32), RATE_HZ), subtype="wav_float32")


def coloured(times: Sound, generator: np.random.Generator) -> Sound:
    """Noise whose spectrum falls by 0 to 9 dB an octave, within a band that now and then is narrow: wind, air, distant
    traffic.
    """
    spectrum = np.fft.rfft(generator.standard_normal(len(times)))
    frequencies = np.fft.rfftfreq(len(times), 1 / RATE_HZ)
    slope = generator.uniform(0, 1.5)
    low = generator.uniform(20, 1500)
    spectrum *= (np.maximum(frequencies, low) / low) ** -slope * (frequencies > 20)
    return np.fft.irfft(spectrum, len(times))


def hum(times: Sound, generator: np.random.Generator) -> Sound:
    """Steady harmonics of 40 to 400 Hz over a little noise: mains, fans, machines."""
    tones = harmonics(2 * np.pi * generator.uniform(40, 400) * times, generator, count=int(generator.integers(3, 20)))
    return tones / tones.std() + generator.uniform(0.05, 0.5) * generator.standard_normal(len(times))


def engine(times: Sound, generator: np.random.Generator) -> Sound:
    """Noise and harmonics that pulse together, faster and slower: motors, drills, compressors."""
    rate_hz = generator.uniform(12, 90) * wander(times, generator, low=0.7, high=1.3)
    phase = 2 * np.pi * np.cumsum(rate_hz) / RATE_HZ
    pulses = (0.5 + 0.5 * np.cos(phase)) ** generator.uniform(1, 12)
    noise = coloured(times, generator)
    tones = harmonics(phase, generator, count=30)
    return noise / noise.std() * pulses + generator.uniform(0.2, 1.5) * tones / tones.std()


def rattle(times: Sound, generator: np.random.Generator) -> Sound:
    """Short resonant knocks at random times: footsteps, dishes, tools, keys."""
    knocks = np.where(
        generator.random(len(times)) < generator.uniform(1, 25) / RATE_HZ, generator.uniform(0.2, 1, len(times)), 0.0
    )
    knocks[int(generator.integers(len(times) // 2))] = 1.0
    length = int(generator.uniform(0.01, 0.15) * RATE_HZ)
    decay = np.exp(-6 * np.arange(length) / length)
    bursts = np.convolve(knocks, decay)[: len(times)] * generator.standard_normal(len(times))
    centre_hz = generator.uniform(200, 4000)
    return np.asarray(
        sosfilt(butter(2, [centre_hz / 1.5, centre_hz * 1.5], "bandpass", fs=RATE_HZ, output="sos"), bursts)
    )


def siren(times: Sound, generator: np.random.Generator) -> Sound:
    """Harmonics that glide up and down or beep: sirens, horns, alarms."""
    centre_hz = generator.uniform(300, 1500)
    sweep = np.sin(2 * np.pi * generator.uniform(0.1, 4) * times)
    if generator.random() < 0.5:
        sweep = np.sign(sweep)
    phase = 2 * np.pi * np.cumsum(centre_hz * 2 ** (generator.uniform(0, 0.6) * sweep)) / RATE_HZ
    return harmonics(phase, generator, count=int(min(12, RATE_HZ / 2 / (1.6 * centre_hz))))


def harmonics(phase: Sound, generator: np.random.Generator, *, count: int) -> Sound:
    """Sum of the first `count` harmonics with random phases, falling off with their number."""
    fall = generator.uniform(0.3, 1.5)
    return np.sum([np.cos(k * phase + generator.uniform(0, 2 * np.pi)) / k**fall for k in range(1, count + 1)], axis=0)


def wander(times: Sound, generator: np.random.Generator, *, low: float, high: float) -> Sound:
    """A slow random curve between two values, a knot about every second."""
    knots = np.linspace(0, times[-1], 3 + int(times[-1]))
    return np.interp(times, knots, generator.uniform(low, high, len(knots)))


if __name__ == "__main__":
    main()
