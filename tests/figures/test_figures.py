"""Figures of a training run and of a separation: what is drawn where."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

import trisep.figures.comparison
import trisep.figures.separation
import trisep.figures.training
from trisep.figures.comparison import draw_comparison
from trisep.figures.separation import draw_separation
from trisep.figures.training import draw_training
from trisep.types import SignalSettings


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved, to be looked into."""
    figures: list[Figure] = []

    class Kept(Figure):
        def savefig(self, *arguments: object, **options: object) -> None:
            figures.append(self)
            super().savefig(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(trisep.figures.training, "Figure", Kept)
    monkeypatch.setattr(trisep.figures.separation, "Figure", Kept)
    monkeypatch.setattr(trisep.figures.comparison, "Figure", Kept)
    return figures


def test_training_shows_loss_and_validation_over_steps(drawn: list[Figure], tmp_path: Path) -> None:
    entries = [{"step": 10, "loss": 0.5}, {"step": 20, "si_sdri": 1.5}, {"step": 20, "loss": 0.25}]
    draw_training(entries, tmp_path / "training.png")
    left, right = drawn[0].axes
    assert left.lines[0].get_xydata().tolist() == [[10, 0.5], [20, 0.25]]
    assert right.lines[0].get_xydata().tolist() == [[20, 1.5]]
    assert (left.get_ylabel(), right.get_xlabel()) == ("training loss", "step")
    with Image.open(tmp_path / "training.png") as picture:
        assert picture.size == (1080, 480)
    assert [path.name for path in tmp_path.iterdir()] == ["training.png"]


def test_a_loss_in_decibels_is_drawn_on_a_linear_scale(drawn: list[Figure], tmp_path: Path) -> None:
    for loss in (-2.5, 2.5):
        draw_training([{"step": 10, "loss": loss}], tmp_path / "training.png")
    assert [figure.axes[0].get_yscale() for figure in drawn] == ["linear", "log"]


def test_a_separation_shows_the_frame_and_all_sounds_on_one_scale(drawn: list[Figure], tmp_path: Path) -> None:
    times = np.arange(16000) / 16000
    loud, soft = (
        np.float32(amplitude) * np.sin(2 * np.pi * 440 * times).astype(np.float32) for amplitude in (0.5, 0.05)
    )
    frame = np.full((20, 30, 3), 128, np.uint8)
    sounds = {"mixture": loud, "residual": soft}
    draw_separation(sounds, tmp_path / "figure.png", signal=SignalSettings(), frame=frame, title="two sounds")
    centre, first, second, _ = drawn[0].axes  # the last one is the scale
    assert [axes.get_title() for axes in (centre, first, second)] == ["centre frame", "mixture", "residual"]
    assert drawn[0].get_suptitle() == "two sounds"
    levels = [axes.images[0].get_array().max() for axes in (first, second)]
    assert levels == pytest.approx([0.0, -20.0], abs=0.01)  # dB under the loudest bin of all
    assert first.images[0].get_clim() == second.images[0].get_clim() == (-70, 0)
    row = int(np.argmax(np.asarray(first.images[0].get_array()).mean(axis=1)))
    # 440 Hz: 0.055 of Nyquist; log₂₁(10·(2·0.055 − 1) + 11) of 255 rows.
    assert row == pytest.approx(np.log(10 * (0.11 - 1) + 11) / np.log(21) * 255, abs=2)
    assert (tmp_path / "figure.png").stat().st_size > 1000


def test_letters_that_the_font_lacks_are_drawn_as_boxes_without_a_word(tmp_path: Path) -> None:
    # Warnings are errors here.
    draw_comparison(
        np.zeros(2), np.ones(2), {"小提琴": 0.5, "🎻": 1.0}, tmp_path / "a.png", names=("a", "犬"), metric="SDR"
    )
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (1100, 450)


def test_a_dollar_sign_begins_no_formula_but_powers_of_ten_are_written_as_such(
    drawn: list[Figure], tmp_path: Path
) -> None:
    said = {"cash $x$": 0.5, r"$\nonsense{$": 1.0}
    draw_comparison(np.zeros(2), np.ones(2), said, tmp_path / "a.png", names=("US$5, $6", r"$\frac$"), metric="SDR")
    named = [text for text in drawn[0].findobj(Text) if "$" in text.get_text()]
    assert {text.get_text() for text in named} > set(said) and not any(text.get_parse_math() for text in named)
    draw_training([{"step": 10, "loss": 0.01}, {"step": 20, "loss": 100.0}], tmp_path / "b.png")
    powers = [text for text in drawn[1].findobj(Text) if "mathdefault" in text.get_text()]
    assert powers and all(text.get_parse_math() for text in powers)


def test_every_figure_is_saved_in_one_place() -> None:
    package = Path(trisep.figures.separation.__file__).parents[1]
    assert [path.name for path in package.rglob("*.py") if "savefig(" in path.read_text()] == ["saving.py"]
