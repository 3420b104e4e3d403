"""VAST's demonstration as one picture: the mixture, then for each query the sound and its heat map on the centre frame.

This file knows no model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure

from trisep.figures.saving import save_figure
from trisep.figures.separation import draw_spectrogram, level_db
from trisep.types import SignalSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """What is heard, and what is seen with it."""

    title: str
    sound: Float[np.ndarray, "S"]
    """Mono, at the rate of the signal settings."""
    picture: UInt8[np.ndarray, "H W 3"]


def draw_demo(shown: Sequence[Shown], path: Path, *, signal: SignalSettings) -> None:
    """Draw a row for each: its spectrogram on the left, its picture on the right; the loudest bin of all is 0 dB."""
    levels = [level_db(one.sound, signal) for one in shown]
    top = max(float(level.max()) for level in levels)
    figure = Figure(figsize=(8.4, 2.6 * len(shown)), layout="constrained")
    for (left, right), one, level in zip(figure.subplots(len(shown), 2, squeeze=False), shown, levels, strict=True):
        draw_spectrogram(left, level - top, signal)
        left.set_title(one.title, fontsize=10)
        right.imshow(one.picture)
        right.set_axis_off()
    save_figure(figure, path, dpi=90)
