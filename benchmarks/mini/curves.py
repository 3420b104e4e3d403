"""Curves of the miniature benchmark: losses and scores over steps, scores and activation over γ; it computes none."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trisep.figures.saving import save_figure

Interval = tuple[float, float, float]
"""A mean, and the lower and upper end of its interval."""
QUERY_COLOURS = {"text": "tab:blue", "image": "tab:orange"}


def draw_over_steps(
    training: Mapping[str, Sequence[tuple[int, float]]],
    losses: Mapping[str, Mapping[str, Sequence[tuple[int, float]]]],
    scores: Mapping[str, Mapping[str, Sequence[tuple[int, Interval]]]],
    path: Path,
) -> None:
    """A column for each arm: its losses above, its test scores below, all columns on the same axes.

    Args:
        training: (step, loss) of the training mixtures, by arm.
        losses: (step, loss) of held-out mixtures, by arm and query.
        scores: (step, SDR improvement in dB with its interval), by arm and query.
        path: the picture to write.
    """
    figure = Figure(figsize=(4.4 * len(training) + 0.6, 6.4), layout="constrained")
    panels = figure.subplots(2, len(training), squeeze=False, sharex=True, sharey="row")
    for (above, below), arm in zip(panels.T, training, strict=True):
        above.plot(*zip(*training[arm], strict=True), color="0.6", label="training")
        for query, points in losses[arm].items():
            above.plot(
                *zip(*points, strict=True), "o-", markersize=3, color=QUERY_COLOURS[query], label=f"validation, {query}"
            )
        for query, curve in scores[arm].items():
            _shaded(below, curve, QUERY_COLOURS[query], query)
        above.set_title(arm)
        below.set_xlabel("step")
        for axes in (above, below):
            axes.grid(alpha=0.3)
    panels[0, 0].set_ylabel("mask loss")
    panels[1, 0].set_ylabel("test SDR improvement (dB)")
    panels[0, 0].legend()
    panels[1, 0].legend()
    _save(figure, path)


def draw_levels(
    scores: Mapping[str, Mapping[str, Interval]], activations: Mapping[str, Mapping[str, float]], path: Path
) -> None:
    """Scores over γ in one panel for each protocol, then the noise heads' activation (CLIPSep, Fig. 6).

    Args:
        scores: SDR improvement in dB with its interval, by "PROTOCOL, QUERY" and value of γ.
        activations: sum of the noise masks' means, by query and value of γ.
        path: the picture to write.
    """
    protocols = list(dict.fromkeys(name.rpartition(", ")[0] for name in scores))
    figure = Figure(figsize=(4.2 * (len(protocols) + 1), 3.8), layout="constrained")
    panels = figure.subplots(1, len(protocols) + 1, squeeze=False)[0]
    for axes, protocol in zip(panels, protocols, strict=False):
        for query, colour in QUERY_COLOURS.items():
            if points := scores.get(f"{protocol}, {query}"):
                _shaded(axes, list(enumerate(points.values())), colour, query)
                axes.set(xticks=range(len(points)), xticklabels=list(points))
        axes.set(title=protocol, xlabel="γ", ylabel="SDR improvement (dB), 95 % interval")
        axes.legend()
    for query, by_level in activations.items():
        panels[-1].plot(range(len(by_level)), list(by_level.values()), "o-", color=QUERY_COLOURS[query], label=query)
        panels[-1].set(xticks=range(len(by_level)), xticklabels=list(by_level))
    panels[-1].set(title="noise heads", xlabel="γ", ylabel="sum of the noise masks' means", ylim=(0, None))
    panels[-1].legend()
    for axes in panels:
        axes.grid(alpha=0.3)
    _save(figure, path)


def _shaded(axes: Axes, points: Sequence[tuple[int, Interval]], colour: str, label: str) -> None:
    """A curve of means, and their intervals as a shade."""
    places = [place for place, _ in points]
    means, low, high = np.array([interval for _, interval in points]).T
    axes.plot(places, means, "o-", markersize=4, color=colour, label=label)
    axes.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_figure(figure, path, dpi=90)
