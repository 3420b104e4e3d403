"""Loss and validation score (dB) over the steps of a run. This file knows no model."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from trisep.figures.saving import save_figure


def draw_training(entries: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw the curves of a run; `entries` are the lines of `log.jsonl`, some with `loss`, some with `si_sdri`."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    training = [entry for entry in entries if "loss" in entry]
    validation = [entry for entry in entries if "si_sdri" in entry]
    losses = [entry["loss"] for entry in training]
    left.plot([entry["step"] for entry in training], losses, linewidth=0.8)
    # A loss in decibels is logarithmic as it is, and negative.
    left.set(xlabel="step", ylabel="training loss", yscale="log" if min(losses, default=1) > 0 else "linear")
    right.plot(
        [entry["step"] for entry in validation], [entry["si_sdri"] for entry in validation], marker="o", markersize=3
    )
    right.set(xlabel="step", ylabel="SI-SDR improvement, image query (dB)")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    save_figure(figure, path, dpi=120)
