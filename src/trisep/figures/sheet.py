"""A sheet of many titled pictures. This file does not know what they show."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure

from trisep.figures.saving import save_figure


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
    save_figure(figure, path, dpi=80)
