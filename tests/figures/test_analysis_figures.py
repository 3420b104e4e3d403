"""Figures of the analyses: what is drawn where."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import trisep.figures.analysis
from trisep.figures.analysis import Clouds, draw_gains, draw_gap, draw_probe, draw_wordings


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were made, not written."""
    figures: list[Figure] = []
    monkeypatch.setattr(trisep.figures.analysis, "save_figure", lambda figure, path: figures.append(figure))
    return figures


def test_accuracies_stand_over_chance_beside_the_classes(drawn: list[Figure], tmp_path: Path) -> None:
    recalls = {"ours": np.array([1.0, 0.5]), "theirs": np.array([0.25, 0.0])}
    accuracies = {"ours": (0.75, 0.5, 0.9), "theirs": (0.125, 0.0, 0.2)}
    draw_probe(accuracies, recalls, tmp_path / "probe.png", classes=("dog", "rain"))
    left, right, _ = drawn[0].axes
    assert left.lines[0].get_xdata().tolist() == [75, 12.5]  # type: ignore[union-attr]
    assert left.lines[-1].get_xdata() == [50, 50]
    assert np.asarray(right.images[0].get_array()).tolist() == [[100, 25], [50, 0]]
    assert [label.get_text() for label in right.get_yticklabels()] == ["dog", "rain"]


def test_clouds_lie_along_the_direction_that_parts_them(drawn: list[Figure], tmp_path: Path) -> None:
    noise = 0.01 * np.random.default_rng(0).standard_normal((2, 20, 5)).astype(np.float32)
    noise[1, :, 2] += 1.0
    clouds = [Clouds(title=title, audio=noise[0], visual=noise[1]) for title in ("one", "two", "three", "four")]
    draw_gap(clouds, tmp_path / "gap.png")
    assert [axes.get_title() for axes in drawn[0].axes] == ["one", "two", "three", "four", "", ""]
    points = [np.asarray(cloud.get_offsets()) for cloud in drawn[0].axes[0].collections]
    assert points[0].shape == (20, 2)
    assert abs(points[1][0, 0] - points[3][0, 0]) == pytest.approx(
        np.linalg.norm((noise[0] - noise[1]).mean(axis=0)), abs=1e-3
    )


def test_gains_keep_their_order_and_show_their_sign(drawn: list[Figure], tmp_path: Path) -> None:
    draw_gains(
        {"flute": (1.0, 0.5, 1.5), "cello": (-2.0, -3.0, 1.0)},
        tmp_path / "g.png",
        metric="SDRi",
        names=("a", "b"),
        overall=-0.5,
    )
    (axes,) = drawn[0].axes
    assert [bar.get_width() for bar in axes.patches] == [1.0, -2.0]  # type: ignore[attr-defined]
    assert axes.patches[0].get_facecolor() != axes.patches[1].get_facecolor()
    assert axes.get_xlabel() == "SDRi, A − B (dB); dashed: all sources, -0.50"


def test_wordings_and_their_differences(drawn: list[Figure], tmp_path: Path) -> None:
    scores, differences = (
        {"mean": (4.0, 3.0, 5.0), "bare": (1.0, 0.0, 2.0)},
        {"mean": (0.0, 0.0, 0.0), "bare": (-3.0, -4.0, -2.0)},
    )
    draw_wordings(scores, differences, tmp_path / "queries.png", metric="SNRi")
    left, right = drawn[0].axes
    assert left.lines[0].get_xdata().tolist() == [4, 1] and right.lines[0].get_xdata().tolist() == [0, -3]  # type: ignore[union-attr]
    assert left.lines[-1].get_xdata() == [4.0, 4.0] and right.get_xlabel() == "− mean (dB), on the same mixtures"
