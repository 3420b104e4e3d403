"""A figure as a file: complete or not there, and without a word of Matplotlib's. This file knows no figure."""

import warnings
from pathlib import Path

from matplotlib.figure import Figure

from trisep.media.files import replacing


def save_figure(figure: Figure, path: Path, *, dpi: int = 100) -> None:
    """Write a figure in the form that the suffix names.

    Letters that Matplotlib's own font lacks, such as Chinese ones and emoji, are boxes in the picture; the table that
    is written beside it has them. Matplotlib's warning of each is left out.
    """
    with warnings.catch_warnings(), replacing(path) as temporary:
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(temporary, dpi=dpi, format=path.suffix.removeprefix("."))
