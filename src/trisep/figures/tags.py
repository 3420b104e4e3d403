"""A figure of what is heard in a sound: one row per kind, one column per second, shaded by probability.

This file knows no tagger.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from trisep.figures.saving import save_figure


def draw_tags(per_second: Mapping[str, Sequence[float]], path: Path, *, title: str = "") -> None:
    """Draw the probability, 0 to 1, of every kind in every second, the first kind at the top, as a PNG file."""
    rows = [list(values) for values in per_second.values()]
    figure = Figure(figsize=(9, 1.2 + 0.32 * len(rows)), layout="constrained")
    axes = figure.subplots()
    shades = axes.imshow(
        rows,
        aspect="auto",
        cmap="magma",
        vmin=0,
        vmax=1,
        interpolation="nearest",
        extent=(0, len(rows[0]), len(rows), 0),
    )
    axes.set(
        xlabel="seconds", yticks=[row + 0.5 for row in range(len(rows))], yticklabels=list(per_second), title=title
    )
    axes.tick_params(axis="y", length=0)
    figure.colorbar(shades, ax=axes, label="probability")
    save_figure(figure, path)
