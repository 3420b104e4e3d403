"""Heat maps of a localisation over video frames, in colours ordered by lightness, and sheets of many such frames.

This file knows no model and no query.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image

from trisep.media.files import replacing
from trisep.types import Localization

_COLOURS = (colormaps["inferno"](np.linspace(0.15, 0.85, 256))[:, :3] * 255).astype(np.float32)
"""The colour map without its ends, which vanish on a dark and on a white picture."""
_OPACITY = 0.7
"""Opacity of the highest value; the frame shows through it."""


class HeatOverlay:
    """Lays the maps of one video over its frames."""

    def __init__(self, localization: Localization) -> None:
        """Scale the maps to relative heat."""
        self._heat = relative_heat(localization.maps)
        self._times_seconds = np.asarray(localization.frame_times_seconds)

    def draw(self, frame: UInt8[np.ndarray, "H W 3"], time_seconds: float) -> UInt8[np.ndarray, "H W 3"]:
        """Blend the heat of a time over a frame.

        Between two maps it is a mixture of both; before the first and after the last map it is that map.
        """
        after = int(np.searchsorted(self._times_seconds, time_seconds))
        if after in (0, len(self._heat)):
            return overlay(frame, self._heat[min(after, len(self._heat) - 1)])
        begin, end = self._times_seconds[after - 1 : after + 1]
        share = (time_seconds - begin) / (end - begin)
        return overlay(frame, (1 - share) * self._heat[after - 1] + share * self._heat[after])


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
    size = (frame.shape[1], frame.shape[0])
    smooth = np.asarray(Image.fromarray(heat.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)).clip(0.0, 1.0)
    colours = _COLOURS[(smooth * 255).astype(np.uint8)]
    opacity = (_OPACITY * smooth)[:, :, None]
    blended: np.ndarray = (frame + opacity * (colours - frame) + 0.5).astype(np.uint8)
    return blended


def draw_sheet(pictures: Sequence[tuple[str, UInt8[np.ndarray, "_ _ 3"]]], path: Path, *, num_columns: int = 4) -> None:
    """Draw titled pictures in rows, left to right, into one image file. ValueError when there are none."""
    if not pictures:
        raise ValueError("pictures must hold at least one")
    num_rows = -(-len(pictures) // num_columns)
    figure = Figure(figsize=(4.4 * num_columns, 2.6 * num_rows), layout="constrained")
    panels = figure.subplots(num_rows, num_columns, squeeze=False).ravel()
    for axes, (title, picture) in zip(panels, pictures, strict=False):
        axes.imshow(picture)
        axes.set_title(title, fontsize=11)
    for axes in panels:
        axes.set_axis_off()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=80, format=path.suffix.removeprefix("."))
