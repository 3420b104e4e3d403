"""A figure as a file: complete or not there, and without a word of Matplotlib's. This file knows no figure."""

import warnings
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import LogFormatter

from trisep.media.files import replacing


def save_figure(figure: Figure, path: Path, *, dpi: int = 100) -> None:
    """Write a figure in the form that the suffix names.

    Names, labels and words are shown as they are: a dollar sign in them begins no formula. Letters that Matplotlib's
    own font lacks, such as Chinese ones and emoji, are boxes in the picture; the table that is written beside it has
    them. Matplotlib's warning of each is left out.
    """
    show_as_it_is(figure)
    with warnings.catch_warnings(), replacing(path) as temporary:
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(temporary, dpi=dpi, format=path.suffix.removeprefix("."))


def show_as_it_is(figure: Figure) -> None:
    """Take no text for a formula but the powers of ten that Matplotlib itself writes at logarithmic axes."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if isinstance(axis.get_major_formatter(), LogFormatter):
                for text in axis.findobj(Text):
                    text.set_parse_math(text is not axis.label)
