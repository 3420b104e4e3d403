"""The figure of a comparison."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import trisep.figures.comparison
from trisep.figures.comparison import draw_comparison


def test_every_source_is_a_point_and_every_class_a_bar(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    drawn: list[Figure] = []

    class Kept(Figure):
        def savefig(self, *arguments: object, **options: object) -> None:
            drawn.append(self)
            super().savefig(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(trisep.figures.comparison, "Figure", Kept)
    a, b = np.array([1.0, 2.0, 3.0]), np.array([0.0, 4.0, 3.0])
    draw_comparison(
        a, b, {"dog": 1.0, "rain": 0.25}, tmp_path / "comparison.png", names=("ours", "theirs"), metric="SDRi"
    )
    left, right = drawn[0].axes
    assert left.collections[0].get_offsets().tolist() == [[1, 0], [2, 4], [3, 3]]
    assert left.lines[0].get_xydata().tolist() == [[0, 0], [4, 4]]
    assert left.get_xlabel() == "A: ours, SDRi (dB)" and left.get_title() == "3 sources"
    assert [bar.get_width() for bar in right.patches] == [1.0, 0.25]
    assert [label.get_text() for label in right.get_yticklabels()] == ["dog", "rain"]
    assert (tmp_path / "comparison.png").stat().st_size > 1000
