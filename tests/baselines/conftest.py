"""Two made sounds that never share a frequency: low notes and high notes, each with its own rhythm."""

import numpy as np
import pytest
from jaxtyping import Float

from trisep.types import SignalSettings

SIGNAL = SignalSettings()


def melody(notes_hz: tuple[float, ...], *, num_harmonics: int, seconds: float = 1.5) -> Float[np.ndarray, "S"]:
    """Equally long decaying notes, RMS 0.1."""
    num_samples = int(seconds * SIGNAL.sample_rate_hz) // len(notes_hz)
    time = np.arange(num_samples) / SIGNAL.sample_rate_hz
    ring = np.exp(-4 * time) * np.minimum(1, time / 0.02)
    notes = [
        ring * sum(np.sin(2 * np.pi * k * note * time) / k for k in range(1, num_harmonics + 1)) for note in notes_hz
    ]
    sound = np.concatenate(notes)
    return (0.1 * sound / np.sqrt(np.mean(sound**2))).astype(np.float32)


@pytest.fixture(scope="session")
def signal() -> SignalSettings:
    return SIGNAL


@pytest.fixture(scope="session")
def sources() -> Float[np.ndarray, "2 S"]:
    """24 000 samples each: four low notes of four harmonics below 1.5 kHz; five high notes above 2.9 kHz."""
    low, high = (
        melody((220.0, 330.0, 262.0, 294.0), num_harmonics=4),
        melody((3000.0, 4400.0, 3600.0, 5200.0, 3300.0), num_harmonics=1),
    )
    return np.stack([low, high])
