"""A comparison of two systems on the same sources: every source as a point, and the win rate of the first by class.

This file computes no scores.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from trisep.figures.saving import save_figure

_INCHES_PER_CLASS = 0.22


def draw_comparison(
    a: Float[np.ndarray, "n"],
    b: Float[np.ndarray, "n"],
    win_rates: Mapping[str, float],
    path: Path,
    *,
    names: tuple[str, str],
    metric: str,
) -> None:
    """Draw b over a with the line of equal scores, and a bar per class.

    Args:
        a: scores of the first system in dB, one per source.
        b: scores of the second, same sources.
        win_rates: share of each class's sources where a is better, 0 to 1, in the order of the bars from the top.
        path: the picture to write.
        names: of the systems.
        metric: name of the scores.
    """
    figure = Figure(figsize=(11, max(4.5, 1.5 + _INCHES_PER_CLASS * len(win_rates))), layout="constrained")
    left, right = figure.subplots(1, 2)
    both = np.concatenate([a, b])
    ends = [float(both.min()), float(both.max())]
    left.plot(ends, ends, color="0.5", linewidth=0.8)
    left.scatter(a, b, s=10, alpha=0.6)
    left.set(
        xlabel=f"A: {names[0]}, {metric} (dB)",
        ylabel=f"B: {names[1]}, {metric} (dB)",
        title=f"{len(a)} sources",
        aspect="equal",
    )
    classes = list(win_rates)
    right.barh(range(len(classes)), [win_rates[name] for name in classes])
    right.axvline(0.5, color="0.5", linewidth=0.8)
    right.set(yticks=range(len(classes)), yticklabels=classes, xlim=(0, 1), xlabel="share of sources where A is better")
    right.invert_yaxis()
    save_figure(figure, path)
