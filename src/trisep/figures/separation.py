"""A figure of a separation: the frame, and spectrograms of mixture, stems and residual on one scale.

This file knows no model.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from trisep.figures.saving import save_figure
from trisep.spectrogram.log_frequency import log_row_of_frequency, to_log_frequency
from trisep.spectrogram.stft import stft
from trisep.types import SignalSettings

TICKS_HZ = (100, 300, 1000, 3000, 7000)
"""Frequencies that the axes name."""
_RANGE_DB = 70.0


def draw_separation(
    sounds: Mapping[str, Float[np.ndarray, "S"]],
    path: Path,
    *,
    signal: SignalSettings,
    frame: UInt8[np.ndarray, "H W 3"] | None = None,
    title: str = "",
) -> None:
    """Draw one panel per sound (mono, at `signal.sample_rate_hz`), in order, after the frame.

    The loudest bin of all is 0 dB.
    """
    levels = {name: level_db(sound, signal) for name, sound in sounds.items()}
    top = max(float(level.max()) for level in levels.values())
    num_panels = len(sounds) + (frame is not None)
    figure = Figure(figsize=(3.6 * num_panels, 3.6), layout="constrained")
    panels = list(figure.subplots(1, num_panels, squeeze=False)[0])
    if frame is not None:
        axes = panels.pop(0)
        axes.imshow(frame)
        axes.set(title="centre frame", xticks=[], yticks=[])
    for axes, (name, level) in zip(panels, levels.items(), strict=True):
        picture = draw_spectrogram(axes, level - top, signal)
        axes.set_title(name)
    figure.colorbar(picture, ax=panels[-1], label="dB")
    if title:
        figure.suptitle(title)
    save_figure(figure, path)


def draw_spectrogram(axes: Axes, level: Float[np.ndarray, "256 T"], signal: SignalSettings) -> AxesImage:
    """Draw levels in dB, −70 to 0, over seconds and kHz; return the picture, for a colour bar."""
    seconds = level.shape[-1] * signal.hop_samples / signal.sample_rate_hz
    extent = (0, seconds, 0, len(level))
    axes.set(xlabel="seconds", yticks=tick_rows(signal), yticklabels=[f"{tick / 1000:g} kHz" for tick in TICKS_HZ])
    return axes.imshow(level, origin="lower", aspect="auto", cmap="magma", vmin=-_RANGE_DB, vmax=0, extent=extent)


def level_db(sound: Float[np.ndarray, "S"], signal: SignalSettings) -> Float[np.ndarray, "256 T"]:
    """Compute the level of each bin of the log grid, in dB."""
    spectrum = stft(torch.from_numpy(np.ascontiguousarray(sound, dtype=np.float32)), signal).abs()
    return 20 * np.log10(to_log_frequency(spectrum, signal.num_log_bins).numpy() + 1e-6)


def tick_rows(signal: SignalSettings) -> list[float]:
    """Compute the rows of the log grid at which the ticks stand."""
    return log_row_of_frequency(torch.tensor(TICKS_HZ) / (signal.sample_rate_hz / 2), signal.num_log_bins).tolist()
