"""Heat over frames: its range, its colours, its way between two maps."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trisep.figures import localization
from trisep.figures.localization import HeatOverlay, overlay, relative_heat
from trisep.figures.sheet import draw_sheet
from trisep.types import Localization

GREY = np.full((40, 80, 3), 100, np.uint8)


def test_heat_runs_from_the_average_cell_to_each_frames_best_and_flat_maps_have_none() -> None:
    peaked = np.array([[0.7, 0.3], [0.0, 0.0]])
    nearly_flat = np.array([[0.3, 0.25], [0.25, 0.2]])
    heat = relative_heat(np.stack([peaked, nearly_flat, np.full((2, 2), 0.25)]))
    # Average ¼; scaled by 0.7 − ¼, and by ¼ where the best is less than twice the average.
    np.testing.assert_allclose(heat, [[[1, 0.05 / 0.45], [0, 0]], [[0.2, 0], [0, 0]], [[0, 0], [0, 0]]], atol=1e-12)


def test_where_there_is_no_heat_the_frame_stays_as_it_is() -> None:
    heat = np.zeros((4, 8), np.float32)
    assert (overlay(GREY, heat) == GREY).all()
    heat[1, 6] = 1.0
    drawn = overlay(GREY, heat)
    assert drawn.shape == GREY.shape and (drawn[:, :40] == GREY[:, :40]).all()
    hottest = np.unravel_index(np.abs(drawn.astype(int) - 100).sum(axis=2).argmax(), (40, 80))
    assert 10 <= hottest[0] < 20 and 60 <= hottest[1] < 70  # within the cell of 10 × 10 pixels


def test_colours_are_ordered_by_lightness() -> None:
    levels = [
        overlay(np.zeros((1, 1, 3), np.uint8), np.full((1, 1), heat)).astype(float) for heat in np.linspace(0, 1, 30)
    ]
    lightness = [float(level @ [0.2126, 0.7152, 0.0722]) for level in (level[0, 0] for level in levels)]
    assert lightness == sorted(lightness) and lightness[-1] > 80


def test_between_two_maps_the_heat_is_a_mixture_of_both() -> None:
    left, right = np.zeros((2, 1, 2))
    left[0, 0] = right[0, 1] = 1.0
    drawing = HeatOverlay([Localization(maps=np.stack([left, right]), frame_times_seconds=(1.0, 3.0), query="it")])
    for time_seconds, heat in ((0.0, left), (1.0, left), (1.5, 0.75 * left + 0.25 * right), (3.0, right), (9.0, right)):
        assert (drawing.draw(GREY, time_seconds) == overlay(GREY, heat)).all(), time_seconds


def test_several_queries_have_a_colour_each_and_are_named() -> None:
    left, right = np.zeros((2, 1, 1, 4))
    left[..., 0] = right[..., 3] = 1.0
    frame = np.full((120, 240, 3), 100, np.uint8)
    two = [
        Localization(maps=maps, frame_times_seconds=(0.0,), query=name)
        for maps, name in ((left, "dog"), (right, "cat"))
    ]
    drawn = HeatOverlay(two).draw(frame, 0.0).astype(int)
    red, blue = drawn[20, 10], drawn[20, 230]
    assert red[0] > red[2] + 100 and blue[2] > blue[0] + 100
    assert (drawn[20, 120] == 100).all(), "no heat in the middle"
    names = drawn[80:, 20:60]
    assert (names.min(axis=2) > 240).any() and (names.max(axis=2) < 20).any(), "white letters, black outlines"
    one = HeatOverlay(two[:1]).draw(frame, 0.0)
    assert (one == overlay(frame, left[0])).all()
    with pytest.raises(ValueError, match="at least one"):
        HeatOverlay([])


def test_heat_shows_on_a_thing_of_its_own_colour() -> None:
    own = tuple(int(value) for value in localization._QUERY_COLOURS[0])
    frame = np.full((180, 360, 3), own, np.uint8)
    heat = np.zeros((2, 4, 8), np.float32)
    heat[0, 1:3, 2:4] = 1.0
    drawn = localization.overlay_many(frame, heat)
    rim = (drawn == 0).all(axis=2)
    assert (drawn[~rim] == own).all() and rim[90].sum() == rim[:, 135].sum() == 2, "a dark line on either side"
    assert (localization.overlay_many(frame, 0.3 * heat) == own).all(), "faint heat has no outline"
    grey = localization.overlay_many(np.full((180, 360, 3), 100, np.uint8), heat)
    line = (grey == own).all(axis=2)
    assert line[90].sum() == 2 and (line[90, np.flatnonzero(rim[90]) + [1, -1]]).all(), "its colour inside of the rim"
    everywhere = localization.overlay_many(frame, np.ones((1, 4, 8), np.float32))
    assert (everywhere == own).all(), "the edge of the picture is no outline"


def test_a_sheet_holds_every_picture(tmp_path: Path) -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 0, 255), (0, 255, 255)]
    draw_sheet(
        [(f"number {colour}", np.full((20, 40, 3), colour, np.uint8)) for colour in colours], tmp_path / "sheet.png"
    )
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > sheet.height
        pixels = {colour for _, colour in sheet.convert("RGB").getcolors(1 << 20)}
    assert set(colours) <= pixels
    with pytest.raises(ValueError, match="at least one"):
        draw_sheet([], tmp_path / "empty.png")


def test_a_name_that_no_font_can_write_is_the_number_of_its_query(monkeypatch: pytest.MonkeyPatch) -> None:
    fonts = list(localization._fonts(12))[:1]  # Matplotlib's, which has neither Chinese letters nor emoji
    names = ["violin", "小提琴", "собака", "🎻", "e\u0301te\u0301"]
    written = [localization._drawn(name, number, fonts)[0] for number, name in enumerate(names)]
    assert written == ["violin", "query 2", "собака", "query 4", "été"]
    monkeypatch.setattr(localization, "_fonts", lambda size: iter(fonts))
    found = Localization(np.full((1, 2, 2), 0.25), frame_times_seconds=(0.0,), query="dog")
    unwritable, numbered = (
        HeatOverlay([found, replace(found, query=name)]).draw(GREY, 0.0) for name in ("小提琴", "query 2")
    )
    np.testing.assert_array_equal(unwritable, numbered)
    assert (numbered != HeatOverlay([found, replace(found, query="query 3")]).draw(GREY, 0.0)).any()


def test_the_first_font_that_has_all_letters_is_taken() -> None:
    fonts = list(localization._fonts(12))
    assert localization._drawn("violin", 0, fonts[::-1]) == ("violin", fonts[-1])
    assert localization._drawn("собака", 0, [fonts[-1], fonts[0]]) == ("собака", fonts[0])
