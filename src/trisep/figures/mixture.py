"""One mixture as a network sees it: a column for each sound, its spectrogram above the mask that makes it.

This file knows no model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from trisep.figures.saving import save_figure
from trisep.figures.separation import TICKS_HZ, tick_rows
from trisep.types import SignalSettings

_RANGE_DB = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A sound on the network's grid, and the mask that makes it of the mixture."""

    title: str
    magnitude: Float[np.ndarray, "256 T"]
    mask: Float[np.ndarray, "256 T"] | None = None
    """0 to 1; None where there is none, as of the mixture."""


def draw_columns(columns: Sequence[Column], path: Path, *, signal: SignalSettings, title: str = "") -> None:
    """Draw the spectrograms in dB below the loudest bin of the first, and the masks below them (0 dark, 1 bright)."""
    figure = Figure(figsize=(2.9 * len(columns) + 0.8, 5.4), layout="constrained")
    panels = figure.subplots(2, len(columns), squeeze=False, sharex=True, sharey=True)
    top = float(columns[0].magnitude.max())
    drawn = {}
    for (above, below), column in zip(panels.T, columns, strict=True):
        seconds = column.magnitude.shape[-1] * signal.hop_samples / signal.sample_rate_hz
        shape = {"origin": "lower", "aspect": "auto", "extent": (0, seconds, 0, len(column.magnitude))}
        level = 20 * np.log10(column.magnitude / max(top, 1e-12) + 1e-9)
        drawn["dB"] = above.imshow(level, cmap="magma", vmin=-_RANGE_DB, vmax=0, **shape)
        above.set_title(column.title, fontsize=9)
        if column.mask is None:
            below.set_axis_off()
            continue
        drawn["mask"] = below.imshow(column.mask, cmap="viridis", vmin=0, vmax=1, **shape)
        below.set_xlabel("seconds")
    panels[0, 0].set(yticks=tick_rows(signal), yticklabels=[f"{tick / 1000:g} kHz" for tick in TICKS_HZ])
    for row, name in zip(panels, ("dB", "mask"), strict=True):
        if name in drawn:
            figure.colorbar(drawn[name], ax=row[-1], label=name)
    if title:
        figure.suptitle(title, fontsize=10)
    save_figure(figure, path, dpi=80)
