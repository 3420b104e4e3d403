"""What classes gain over what their sounds are like: one panel for each property. This file measures nothing."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from trisep.figures.saving import save_figure

_DECADE = 10.0
"""A property whose values differ by more than this factor has a logarithmic axis."""


def draw_acoustics(
    gains: Mapping[str, float],
    properties: Mapping[str, Mapping[str, float]],
    titles: Mapping[str, str],
    path: Path,
    *,
    metric: str,
    names: tuple[str, str],
) -> None:
    """Draw a panel for each property: its mean over a class's sounds, and the gain of the class, A − B, in dB.

    Args:
        gains: dB by class.
        properties: for each class its mean properties; a class without any is left out.
        titles: for each property the label of its axis.
        path: the picture to write.
        metric: name of the score.
        names: of A and B.
    """
    num_columns = 2
    num_rows = -(-len(titles) // num_columns)
    figure = Figure(figsize=(6.2 * num_columns, 4.6 * num_rows), layout="constrained")
    panels = figure.subplots(num_rows, num_columns, squeeze=False).ravel()
    for axes, (name, title) in zip(panels, titles.items(), strict=False):
        points = {label: (properties[label][name], gain) for label, gain in gains.items() if label in properties}
        points = {label: point for label, point in points.items() if np.isfinite(point).all()}
        values = [value for value, _ in points.values()]
        if values and min(values) > 0 and max(values) > _DECADE * min(values):
            axes.set_xscale("log")
        colours = ["C0" if gain >= 0 else "C1" for _, gain in points.values()]
        axes.scatter(*np.array(list(points.values())).reshape(-1, 2).T, s=18, c=colours)
        for label, point in points.items():
            axes.annotate(label, point, fontsize=6.5, xytext=(3, 2), textcoords="offset points")
        axes.axhline(0, color="black", linewidth=0.8)
        axes.margins(x=0.12)
        axes.set(xlabel=title, ylabel=f"{metric}, A − B (dB)")
        axes.grid(alpha=0.3)
    for axes in panels[len(titles) :]:
        axes.set_axis_off()
    figure.suptitle(f"A: {names[0]}\nB: {names[1]}", fontsize=9, x=0.01, ha="left")
    save_figure(figure, path)
