"""Places as they are written, checked against a picture, and found in it."""

import math

import numpy as np
import pytest

from trisep.errors import QueryError
from trisep.queries.regions import box_query, cell_of, check_place, crop, place_entry, region_query
from trisep.separation.stems import output_names
from trisep.types import Place


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("0.25,0.5", Place(0.25, 0.5)),
        (" 0.25 , 0.5 , 3 ", Place(0.25, 0.5, time_seconds=3.0)),
        ("320px,180.5px", Place(320.0, 180.5, in_pixels=True)),
        ("0px,0px,1.5", Place(0.0, 0.0, time_seconds=1.5, in_pixels=True)),
        ("0.25,0.5,1:03.5", Place(0.25, 0.5, time_seconds=63.5)),
        ("1,0", Place(1.0, 0.0)),
    ],
)
def test_a_region_as_written(text: str, place: Place) -> None:
    assert region_query(text).place == place


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("0,0.2,0.5,0.8", Place(0.0, 0.2, 0.5, 0.8)),
        ("0.9,0,0.1,1,7", Place(0.9, 0.0, 0.1, 1.0, time_seconds=7.0)),
        ("0px,40px,200px,180px", Place(0.0, 40.0, 200.0, 180.0, in_pixels=True)),
    ],
)
def test_a_box_as_written(text: str, place: Place) -> None:
    assert box_query(text).place == place


def test_files_are_called_after_what_was_written() -> None:
    queries = [region_query("0.25, 0.50"), box_query("0px,40px,200px,180px,3"), region_query("0.25,0.50")]
    assert output_names([query.name for query in queries]) == [
        "region_0_25_0_50",
        "box_0px_40px_200px_180px_3",
        "region_0_25_0_50_2",
    ]


@pytest.mark.parametrize(
    "text", ["", "0.5", "a,b", "0,0,1,1,2,3", "0.5,,1", "0.5,nan", "0.5;0.5", "inf,0.5", "0.5,0.5,now"]
)
def test_malformed_text_names_the_form(text: str) -> None:
    with pytest.raises(QueryError, match=r"--region .*expected X,Y\[,T\], for example 0\.25,0\.5"):
        region_query(text)
    with pytest.raises(QueryError, match=r"--box .*expected X,Y,W,H\[,T\], for example"):
        box_query(text)


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (region_query, "1.5,0.5", "outside the picture: .* 0 to 1; for pixels write px"),
        (region_query, "320,180", "for pixels write px"),
        (region_query, "-0.1,0.5", "outside the picture"),
        (region_query, "-1px,5px", "outside the picture"),
        (region_query, "0.5,180px", "all coordinates in pixels"),
        (region_query, "0.5,0.5,-1", "number of seconds"),
        (region_query, "0.5,0.5,nan", "number of seconds"),
        (box_query, "0.2,0.2,0,0", "no area"),
        (box_query, "0.2,0.2,0.5,0", "no area"),
        (box_query, "0.5,0.5,-0.2,0.2", "no area"),
        (box_query, "0.5,0.5,0.6,0.2", "outside the picture"),
    ],
)
def test_what_cannot_be_a_place(read, text: str, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        place = read(text).place
        crop(np.zeros((10, 20, 3), np.uint8), place, "here")


def test_places_from_python_are_checked_alike() -> None:
    check_place(Place(0.5, 0.5), "here")
    for place in (Place(0.5, 0.5, width=0.2), Place(0.1, 0.1, -0.1, 0.3), Place(0.1, 0.1, math.nan, 0.3)):
        with pytest.raises(QueryError, match="here has no area"):
            check_place(place, "here")
    for place in (Place(math.nan, 0.5), Place(320, 180), Place(math.inf, 0.0, in_pixels=True)):
        with pytest.raises(QueryError, match="here lies outside"):
            check_place(place, "here")
            cell_of(place, (10, 10), (7, 7), "here")


@pytest.mark.parametrize(
    ("place", "cell"),
    [
        (Place(0, 0), (0, 0)),
        (Place(1, 1), (6, 6)),
        (Place(0.25, 0.5), (3, 1)),
        (Place(0.75, 0.99), (6, 5)),
        (Place(69, 0, in_pixels=True), (0, 6)),
        (Place(10, 34, in_pixels=True), (6, 1)),
        (Place(9.99, 34, in_pixels=True), (6, 0)),
    ],
)
def test_the_cell_that_holds_a_point(place: Place, cell: tuple[int, int]) -> None:
    assert cell_of(place, (35, 70), (7, 7), "here") == cell


def test_pixels_beyond_the_picture_name_its_size() -> None:
    for place in (Place(70, 0, in_pixels=True), Place(0, 35, in_pixels=True)):
        with pytest.raises(QueryError, match="here lies outside the picture, which is 70 × 35 pixels as shown"):
            cell_of(place, (35, 70), (7, 7), "here")
    with pytest.raises(QueryError, match="70 × 35 pixels as shown"):
        crop(np.zeros((35, 70, 3), np.uint8), Place(60, 0, 11, 5, in_pixels=True), "here")


@pytest.mark.parametrize(
    ("place", "rows", "columns"),
    [
        (Place(0, 0, 1, 1), (0, 10), (0, 20)),
        (Place(0.1, 0.1, 0.6, 0.6), (1, 7), (2, 14)),
        (Place(0.51, 0.5, 0.001, 0.2), (5, 7), (10, 11)),
        (Place(3, 2, 17, 8, in_pixels=True), (2, 10), (3, 20)),
        (Place(3.5, 2, 1, 1, in_pixels=True), (2, 3), (3, 5)),
    ],
)
def test_a_crop_is_widened_to_whole_pixels(place: Place, rows: tuple[int, int], columns: tuple[int, int]) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (10, 20, 3), dtype=np.uint8)
    np.testing.assert_array_equal(crop(frame, place, "here"), frame[slice(*rows), slice(*columns)])


def test_what_the_report_says() -> None:
    assert place_entry(Place(0.25, 0.5)) == {"x": 0.25, "y": 0.5, "time_seconds": None, "unit": "share"}
    box = place_entry(Place(1, 2, 3, 4, time_seconds=5.0, in_pixels=True))
    assert box == {"x": 1, "y": 2, "width": 3, "height": 4, "time_seconds": 5.0, "unit": "pixel"}
