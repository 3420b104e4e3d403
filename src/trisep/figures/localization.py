"""Heat maps over video frames. One query's heat has colours ordered by lightness; of several, each has one colour,
named in a corner.

This file knows no model and no query.
"""

import importlib.util
import itertools
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8
from PIL import Image, ImageDraw, ImageFont

from trisep.types import Localization

_STOPS = np.array(
    [
        *((43, 11, 87), (66, 10, 104), (85, 15, 109), (108, 24, 110), (127, 30, 108), (147, 38, 103), (166, 45, 96)),
        *((188, 55, 84), (206, 67, 71), (221, 81, 58), (234, 99, 42), (243, 118, 27), (249, 142, 9), (252, 165, 10)),
        (251, 190, 35),
    ],
    np.float32,
)
_COLOURS = np.stack([np.interp(np.linspace(0, 14, 256), range(15), channel) for channel in _STOPS.T], axis=1)
"""Matplotlib's colours "inferno" (Smith & van der Walt 2015, CC0), read at fifteen places, without the ends, which
would vanish on a dark and on a white picture."""
_OPACITY = 0.7
"""Opacity of the highest value; the frame shows through it."""


_FONT_FILES = (
    *("DejaVuSans.ttf", "Arial.ttf", "NotoSansCJK-Regular.ttc", "NotoSansCJKsc-Regular.otf", "wqy-microhei.ttc"),
    *("wqy-zenhei.ttc", "DroidSansFallbackFull.ttf", "msyh.ttc", "YuGothR.ttc", "Arial Unicode.ttf", "PingFang.ttc"),
)
"""Fonts of the systems that most have, by what Pillow finds them; the later ones write Chinese and Japanese."""
_QUERY_COLOURS = np.array(
    [
        *((255, 140, 40), (60, 150, 255), (60, 220, 130), (250, 90, 180)),
        *((250, 225, 70), (160, 110, 255), (70, 230, 230), (255, 80, 70)),
    ],
    np.float32,
)
"""Colours of several queries, in their order; a ninth begins again."""
_OUTLINED = 0.5
"""Heat from which a query of several is outlined, so that it also shows on a thing of its own colour."""


class HeatOverlay:
    """Lays the maps of one video, of one query or several, over its frames."""

    def __init__(self, localizations: Sequence[Localization]) -> None:
        """Scale the maps to relative heat; ValueError when there are none. All have the frames of the first."""
        if not localizations:
            raise ValueError("localizations must hold at least one")
        self._heat = np.stack([relative_heat(one.maps) for one in localizations], axis=1)
        self._times_seconds = np.asarray(localizations[0].frame_times_seconds)
        self._names = [one.query for one in localizations]

    def draw(self, frame: UInt8[np.ndarray, "H W 3"], time_seconds: float) -> UInt8[np.ndarray, "H W 3"]:
        """Blend the heat of a time over a frame.

        Between two maps it is a mixture of both; before the first and after the last map it is that map.
        """
        after = int(np.searchsorted(self._times_seconds, time_seconds))
        if after in (0, len(self._heat)):
            heat = self._heat[min(after, len(self._heat) - 1)]
        else:
            begin, end = self._times_seconds[after - 1 : after + 1]
            share = (time_seconds - begin) / (end - begin)
            heat = (1 - share) * self._heat[after - 1] + share * self._heat[after]
        return overlay(frame, heat[0]) if len(heat) == 1 else _named(overlay_many(frame, heat), self._names)


def relative_heat(maps: Float[np.ndarray, "K H W"]) -> Float[np.ndarray, "K H W"]:
    """Scale maps to heat from 0, a cell no better than the average of its frame, to 1, the best cell.

    Flat maps, in which no cell is above the average, give 0. Each map is scaled by itself: since a map sums to one, it
    is lower the more cells share it. This tells how large an object is, not how certain its presence is. Where the best
    cell has less than twice the average, the heat stays below 1.
    """
    average = 1.0 / (maps.shape[1] * maps.shape[2])
    above_average = maps.max(axis=(1, 2), keepdims=True) - average
    return np.asarray(((maps - average) / np.maximum(above_average, average)).clip(0.0, 1.0))


def overlay(frame: UInt8[np.ndarray, "H W 3"], heat: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "H W 3"]:
    """Blend a frame with the colours of a grid of heat in [0, 1], brought to its size (bicubic).

    Hotter cells are less transparent.
    """
    smooth = _smooth(heat, frame)
    colours = _COLOURS[(smooth * 255).astype(np.uint8)]
    opacity = (_OPACITY * smooth)[:, :, None]
    blended: np.ndarray = (frame + opacity * (colours - frame) + 0.5).astype(np.uint8)
    return blended


def overlay_many(frame: UInt8[np.ndarray, "H W 3"], heat: Float[np.ndarray, "Q h w"]) -> UInt8[np.ndarray, "H W 3"]:
    """Blend a frame with several grids of heat in [0, 1], each in its own colour; the hotter prevails.

    What has half of the heat or more is outlined in that colour, with a dark rim.
    """
    smooth = np.stack([_smooth(one, frame) for one in heat])
    shares = smooth**2 / np.maximum((smooth**2).sum(axis=0), 1e-6)
    colours = np.tensordot(shares, _QUERY_COLOURS[np.arange(len(heat)) % len(_QUERY_COLOURS)], axes=(0, 0))
    opacity = (_OPACITY * smooth.max(axis=0))[:, :, None]
    blended: np.ndarray = (frame + opacity * (colours - frame) + 0.5).astype(np.uint8)
    width = max(1, round(min(frame.shape[:2]) / 180))
    for one, colour in zip(smooth, itertools.cycle(_QUERY_COLOURS)):
        inside = one >= _OUTLINED
        blended[inside & ~_eroded(inside, width)] = colour
        blended[_eroded(~inside, width) ^ ~inside] = 0
    return blended


def _eroded(inside: Bool[np.ndarray, "H W"], width: int) -> Bool[np.ndarray, "H W"]:
    """Take a rim of so many pixels off an area; the edge of the picture is none of its edges."""
    framed = np.pad(inside, width, constant_values=True)
    rows, columns = (slice(width, width + size) for size in inside.shape)
    above, below = framed[: -2 * width, columns], framed[2 * width :, columns]
    left, right = framed[rows, : -2 * width], framed[rows, 2 * width :]
    eroded: np.ndarray = inside & above & below & left & right
    return eroded


def _smooth(heat: Float[np.ndarray, "h w"], frame: UInt8[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "H W"]:
    """Bring a grid of heat to the size of a frame (bicubic)."""
    size = (frame.shape[1], frame.shape[0])
    smooth: np.ndarray = np.asarray(
        Image.fromarray(heat.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
    ).clip(0.0, 1.0)
    return smooth


def _fonts(size: int) -> Iterator[ImageFont.FreeTypeFont]:
    """Yield the fonts that there are: Matplotlib's where it is installed, and those of the system; last Pillow's own,
    which draws ASCII only.
    """
    spec = importlib.util.find_spec("matplotlib")
    folders = [Path(place) / "mpl-data/fonts/ttf" for place in (spec and spec.submodule_search_locations) or ()]
    for file in (*(str(folder / "DejaVuSans.ttf") for folder in folders), *_FONT_FILES):
        with suppress(OSError):
            yield ImageFont.truetype(file, size)
    own = ImageFont.load_default(size)
    if isinstance(own, ImageFont.FreeTypeFont):
        yield own


def _has_all(font: ImageFont.FreeTypeFont, text: str) -> bool:
    """Tell whether a font has a picture of its own for every letter of a text."""
    absent = bytes(font.getmask("\uffff"))
    return all(letter.isspace() or bytes(font.getmask(letter)) != absent for letter in text)


def _drawn(name: str, number: int, fonts: Sequence[ImageFont.FreeTypeFont]) -> tuple[str, ImageFont.FreeTypeFont]:
    """Return what is written for a query, and the first font that has all its letters; where none has, its number."""
    text = unicodedata.normalize("NFC", name)
    return next(((text, font) for font in fonts if _has_all(font, text)), (f"query {number + 1}", fonts[0]))


def _named(frame: UInt8[np.ndarray, "H W 3"], names: Sequence[str]) -> UInt8[np.ndarray, "H W 3"]:
    """Write the names of queries into the lower left corner, each behind a square of its colour; a name that no font of
    this machine can write is `query 1`, by its place among them.
    """
    picture = Image.fromarray(frame)
    size = max(9, frame.shape[0] // 28)
    drawing, fonts = ImageDraw.Draw(picture), list(_fonts(size))
    line = round(1.6 * size)
    top = frame.shape[0] - line * len(names) - size // 2
    for number, name in enumerate(names):
        colour = tuple(int(value) for value in _QUERY_COLOURS[number % len(_QUERY_COLOURS)])
        at = top + number * line
        drawing.rectangle((size // 2, at, size // 2 + size, at + size), fill=colour, outline=(0, 0, 0))
        text, font = _drawn(name, number, fonts)
        drawing.text(
            (2 * size, at - size // 6),
            text,
            font=font,
            fill="white",
            stroke_width=max(1, size // 9),
            stroke_fill="black",
        )
    return np.asarray(picture)
