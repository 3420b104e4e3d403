"""Places in a picture: they are read from text, checked against the picture's size, and located in it.

This module knows no encoder and opens no file.
"""

import math

import numpy as np
from jaxtyping import UInt8

from trisep.errors import QueryError
from trisep.media.times import read_seconds
from trisep.types import Place, Query

_TOLERANCE = 1e-9
"""Shares may exceed 1 by this much, for sums such as 0.9 + 0.1."""
_COORDINATES = {
    "region": ("X,Y[,T]", 2, "0.25,0.5 or 320px,180px or 0.25,0.5,3"),
    "box": ("X,Y,W,H[,T]", 4, "0,0.2,0.5,0.8 or 0px,40px,200px,180px"),
}


def region_query(text: str) -> Query:
    """Make the query for what is at a point from `X,Y` or `X,Y,T`; its name is `region` and the text.

    X and Y are shares of width and height from the upper left corner, or, written as in `320px,180px`, pixels of the
    picture as shown; T is in seconds, or with minutes, as in 1:23.5.

    Raises QueryError for any other text, and for shares outside 0 to 1.

    Example:
        >>> region_query("0.25,0.5").place
        Place(x=0.25, y=0.5, width=0.0, height=0.0, time_seconds=None, in_pixels=False)
    """
    return _place_query("region", text)


def box_query(text: str) -> Query:
    """Make the query for what is in a box from `X,Y,W,H` or `X,Y,W,H,T`.

    X and Y are the upper left corner, W and H are width and height. Units, name and errors are as in `region_query`.

    Raises QueryError also for a box without area.
    """
    return _place_query("box", text)


def check_place(place: Place, label: str) -> None:
    """Check what can be checked without the picture: shares lie in it, a box has an area, a time is not negative.

    Raises QueryError, whose text begins with `label`.
    """
    if (place.width, place.height) != (0, 0) and not place.is_box:
        raise QueryError(
            f"{label} has no area: a box's width and height must be above 0, got {place.width:g} and {place.height:g}"
        )
    if place.time_seconds is not None and not 0 <= place.time_seconds < math.inf:
        raise QueryError(f"{label}: the time must be a number of seconds from the start, got {place.time_seconds:g}")
    if not place.in_pixels and not _is_inside(place, 1.0, 1.0):
        raise QueryError(
            f"{label} lies outside the picture: coordinates are shares of it, 0 to 1; for pixels write px, as in "
            "320px,180px"
        )


def cell_of(place: Place, size: tuple[int, int], grid: tuple[int, int], label: str) -> tuple[int, int]:
    """Return (row, column) of the grid cell that holds a point.

    `size` is the picture's (height, width), `grid` its number of (rows, columns).

    Raises QueryError, whose text begins with `label`, when the point is not in a picture of that size.
    """
    left, top, _, _ = _shares(place, size, label)
    return min(int(top * grid[0]), grid[0] - 1), min(int(left * grid[1]), grid[1] - 1)


def crop(frame: UInt8[np.ndarray, "H W 3"], place: Place, label: str) -> UInt8[np.ndarray, "h w 3"]:
    """Cut a box out of a picture, widened to whole pixels.

    Raises QueryError, whose text begins with `label`, when the box reaches outside the picture.
    """
    height, width = frame.shape[:2]
    left, top, right, bottom = _shares(place, (height, width), label)
    # The numbers are rounded first: in floating point 0.7 · 10 is a little more than 7 and would add a column.
    columns = slice(math.floor(round(left * width, 6)), math.ceil(round(right * width, 6)))
    rows = slice(math.floor(round(top * height, 6)), math.ceil(round(bottom * height, 6)))
    return frame[rows, columns]


def place_entry(place: Place) -> dict[str, float | str | None]:
    """Return what report.json says of a place."""
    box = {"width": place.width, "height": place.height} if place.is_box else {}
    unit = "pixel" if place.in_pixels else "share"
    return {"x": place.x, "y": place.y, **box, "time_seconds": place.time_seconds, "unit": unit}


def _shares(place: Place, size: tuple[int, int], label: str) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom as shares of a picture of (height, width) pixels.

    Raises QueryError, whose text begins with `label`, when they are not in it.
    """
    height, width = size
    if not place.in_pixels:
        width, height = 1, 1
    elif not _is_inside(place, width, height):
        raise QueryError(f"{label} lies outside the picture, which is {width} × {height} pixels as shown")
    return place.x / width, place.y / height, (place.x + place.width) / width, (place.y + place.height) / height


def _is_inside(place: Place, width: float, height: float) -> bool:
    """Return whether the place lies in a picture of that size, given in the place's own unit.

    In pixels, a point on the right or lower edge lies outside, since no pixel begins there.
    """
    far = [(place.x, place.width, width), (place.y, place.height, height)]
    if place.in_pixels and not place.is_box:
        return all(0 <= start < size for start, _, size in far)
    return all(0 <= start and start + extent <= size + _TOLERANCE for start, extent, size in far)


def _place_query(kind: str, text: str) -> Query:
    """Make a query from comma-separated numbers."""
    form, num_coordinates, example = _COORDINATES[kind]
    name = f"{kind} {''.join(text.split())}"
    parts = [part.strip() for part in text.split(",")]
    coordinates, times = parts[:num_coordinates], parts[num_coordinates:]
    in_pixels = [part.endswith("px") for part in coordinates]
    try:
        values = [float(part.removesuffix("px")) for part in coordinates]
        time_seconds = read_seconds(times[0]) if times else None
    except ValueError:
        values, time_seconds = [], None
    if len(values) != num_coordinates or len(times) > 1 or not all(map(math.isfinite, values)):
        raise QueryError(f"--{kind} {text!r}: expected {form}, for example {example}")
    if any(in_pixels) and not all(in_pixels):
        raise QueryError(f"--{kind} {text!r}: give all coordinates in pixels (with px) or none, for example {example}")
    if kind == "box" and not min(values[2:]) > 0:
        raise QueryError(
            f"--{kind} {text!r} has no area: width and height, the third and fourth number, must be above 0"
        )
    x, y, width, height = (*values, 0.0, 0.0)[:4]
    place = Place(x, y, width, height, time_seconds=time_seconds, in_pixels=in_pixels[0])
    check_place(place, f"query '{name}'")
    return Query(name, place=place)
