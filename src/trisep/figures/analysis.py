"""The figures of `trisep analyze`: accuracies, embeddings of sounds and pictures, gains of classes, scores of prompts.

This file computes no analysis, except the principal components that it plots.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trisep.figures.saving import save_figure

Interval = tuple[float, float, float]
"""A mean, and the lower and upper end of its interval."""
_INCHES_PER_ROW = 0.26
_MOST_COLUMNS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Clouds:
    """Embeddings of the sounds and pictures of the same clips in one space."""

    title: str
    audio: Float[np.ndarray, "n D"]
    visual: Float[np.ndarray, "n D"]


def draw_probe(
    accuracies: Mapping[str, Interval],
    recalls: Mapping[str, Float[np.ndarray, "classes"]],
    path: Path,
    *,
    classes: Sequence[str],
) -> None:
    """Draw a point per representation with its interval, and the share of each class named right.

    A line marks chance; all values are 0 to 1.
    """
    height = max(3.2, 1.5 + _INCHES_PER_ROW * len(classes))
    figure = Figure(figsize=(6.5 + 1.2 * len(recalls), height), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(5, 1.5 + len(recalls)))
    _points(left, {name: (100 * mean, 100 * low, 100 * high) for name, (mean, low, high) in accuracies.items()})
    left.axvline(100 / len(classes), color="0.3", linestyle="--", linewidth=0.8)
    left.set(xlim=(0, 100), xlabel="accuracy on test clips (%); dashed: chance")
    picture = right.imshow(
        100 * np.stack(list(recalls.values()), axis=1), aspect="auto", cmap="viridis", vmin=0, vmax=100
    )
    right.set(yticks=range(len(classes)), yticklabels=classes, xticks=range(len(recalls)))
    right.set_xticklabels(list(recalls), rotation=30, ha="right")
    figure.colorbar(picture, ax=right, label="of the class named right (%)")
    save_figure(figure, path)


def draw_gap(clouds: Sequence[Clouds], path: Path) -> None:
    """Draw a panel per network: the sound and the picture of every clip on two principal components.

    The components are the first two of both together; the centres are marked.
    """
    num_columns = min(len(clouds), _MOST_COLUMNS)
    num_rows = -(-len(clouds) // num_columns)
    figure = Figure(figsize=(4.6 * num_columns, 4.4 * num_rows), layout="constrained")
    panels = figure.subplots(num_rows, num_columns, squeeze=False).ravel()
    for axes, cloud in zip(panels, clouds, strict=False):
        points, shares = _principal_components(np.concatenate([cloud.audio, cloud.visual]))
        for name, colour, part in (
            ("sounds", "C0", points[: len(cloud.audio)]),
            ("pictures", "C1", points[len(cloud.audio) :]),
        ):
            axes.scatter(*part.T, s=8, alpha=0.5, color=colour, label=name)
            axes.scatter(
                *part.mean(axis=0), s=120, marker="X", color=colour, edgecolor="black", label=f"their mean ({name})"
            )
        axes.set(
            xlabel=f"first component ({100 * shares[0]:.0f} % of the variance)",
            ylabel=f"second ({100 * shares[1]:.0f} %)",
        )
        axes.set_title(cloud.title, fontsize=10)
        axes.set_aspect("equal", adjustable="datalim")
    panels[0].legend(fontsize=7)
    for axes in panels[len(clouds) :]:
        axes.set_axis_off()
    save_figure(figure, path)


def draw_gains(
    gains: Mapping[str, Interval], path: Path, *, metric: str, names: tuple[str, str], overall: float
) -> None:
    """Draw a bar per class with its interval (dB), in the order of the mapping from the top.

    A dashed line marks the gain over all sources.
    """
    figure = Figure(figsize=(7.5, 1.8 + _INCHES_PER_ROW * len(gains)), layout="constrained")
    axes = figure.subplots()
    means = [mean for mean, _, _ in gains.values()]
    colours = ["C0" if mean >= 0 else "C1" for mean in means]
    axes.barh(range(len(gains)), means, xerr=_spans(gains), color=colours, alpha=0.8, capsize=2)
    axes.set(yticks=range(len(gains)), yticklabels=gains)
    axes.margins(y=0.5 / len(gains))
    axes.invert_yaxis()
    axes.axvline(0, color="black", linewidth=0.8)
    axes.axvline(overall, color="0.3", linestyle="--", linewidth=0.8)
    axes.set_xlabel(f"{metric}, A − B (dB); dashed: all sources, {overall:+.2f}")
    axes.set_title(f"A: {names[0]}\nB: {names[1]}", fontsize=9, loc="left")
    save_figure(figure, path)


def draw_wordings(
    scores: Mapping[str, Interval], differences: Mapping[str, Interval], path: Path, *, metric: str
) -> None:
    """Draw a row per prompt: its score and its difference from that of the first prompt (dB).

    The rows are in the order of the mappings, from the top.
    """
    figure = Figure(figsize=(10, 1.2 + _INCHES_PER_ROW * len(scores)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, values, line in ((left, scores, next(iter(scores.values()))[0]), (right, differences, 0.0)):
        _points(axes, values)
        axes.axvline(line, color="0.3", linestyle="--", linewidth=0.8)
    left.set_xlabel(f"{metric} (dB), 95 % interval over mixtures")
    right.set_xlabel(f"− {next(iter(scores))} (dB), on the same mixtures")
    save_figure(figure, path)


def _points(axes: Axes, values: Mapping[str, Interval]) -> None:
    """Draw means with their intervals in rows, the first on top."""
    rows = range(len(values))
    axes.errorbar([mean for mean, _, _ in values.values()], rows, xerr=_spans(values), fmt="o", markersize=5, capsize=3)
    axes.set(yticks=rows, yticklabels=values, ylim=(len(values) - 0.5, -0.5))
    axes.grid(axis="x", alpha=0.3)


def _spans(values: Mapping[str, Interval]) -> Float[np.ndarray, "2 n"]:
    """Compute how far each interval extends below and above its mean."""
    return np.array([[max(0.0, mean - low), max(0.0, high - mean)] for mean, low, high in values.values()]).T


def _principal_components(vectors: Float[np.ndarray, "n D"]) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "2"]]:
    """Compute the coordinates on the first two components, and the shares of the variance that they hold."""
    centred = vectors - vectors.mean(axis=0)
    left, strengths, _ = np.linalg.svd(centred, full_matrices=False)
    return left[:, :2] * strengths[:2], strengths[:2] ** 2 / np.sum(strengths**2)
