"""The peaks of heat maps: in a box, or in a half of the picture.

Maps are grids over the picture; places are shares of its width and height, x to the right and y down from the upper
left. This file knows neither queries nor files.
"""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from trisep.types import Place


def peaks(maps: Float[np.ndarray, "K H W"]) -> Float[np.ndarray, "K 2"]:
    """Compute (x, y) of the centre of each map's highest cell, as shares; nan for a constant map.

    Of equally high cells the first counts, row by row. Raises ValueError for maps without a cell, or values
    that are not finite.
    """
    num_maps, height, width = maps.shape
    if height * width == 0 or not np.isfinite(maps).all():
        raise ValueError(f"maps: expected finite values on a grid, got shape {maps.shape}")
    cells = maps.reshape(num_maps, height * width)
    rows, columns = np.divmod(cells.argmax(axis=1), width)
    centres = np.stack([(columns + 0.5) / width, (rows + 0.5) / height], axis=1)
    centres[cells.max(axis=1) == cells.min(axis=1)] = np.nan
    return np.asarray(centres)


def peak_in_box(maps: Float[np.ndarray, "K H W"], box: Place, *, tolerance: float = 0.0) -> Bool[np.ndarray, "K"]:
    """Return whether each map peaks inside a box or on its edge.

    Args:
        maps: as for `peaks`; a constant map is in no box.
        box: in shares; its time is ignored.
        tolerance: the box is wider by this share on each side.

    Raises:
        ValueError: the place is a point, or counts pixels.
    """
    if not box.is_box or box.in_pixels:
        raise ValueError(f"box: expected a box in shares of the picture, got {box}")
    low = np.array([box.x, box.y]) - tolerance
    high = np.array([box.x + box.width, box.y + box.height]) + tolerance
    found = peaks(maps)
    return np.asarray(((found >= low) & (found <= high)).all(axis=1))


def share_in_half(maps: Float[np.ndarray, "K H W"], half: Literal["left", "right", "top", "bottom"]) -> float:
    """Compute the share of maps, 0 to 1, that peak in a half of the picture; nan for no maps at all.

    A peak exactly in the middle is in neither half.
    """
    found = peaks(maps)[:, 0 if half in ("left", "right") else 1]
    inside = found < 0.5 if half in ("left", "top") else found > 0.5
    return float(inside.mean()) if len(inside) else float("nan")
