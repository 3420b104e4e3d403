"""Where the peak of a map is, and whether a box or a half holds it."""

import numpy as np
import pytest

from trisep.metrics.localization import peak_in_box, peaks, share_in_half
from trisep.types import Place


def maps(*cells: tuple[int, int], size: tuple[int, int] = (3, 5)) -> np.ndarray:
    """One map per (row, column), 1 there and 0 elsewhere."""
    found = np.zeros((len(cells), *size), np.float32)
    for one, cell in zip(found, cells, strict=True):
        one[cell] = 1
    return found


def test_peaks_are_the_centres_of_the_highest_cells() -> None:
    both = maps((0, 0), (2, 4), (1, 2))
    both[2, 2, 0] = 1  # equally high, but further down
    np.testing.assert_allclose(peaks(both), [[0.1, 1 / 6], [0.9, 5 / 6], [0.5, 0.5]])
    assert np.isnan(peaks(np.full((1, 3, 5), 1 / 15, np.float32))).all()
    assert np.isnan(peaks(np.ones((1, 1, 1)))).all()
    for wrong in (np.full((1, 2, 2), np.nan), np.zeros((1, 0, 2))):
        with pytest.raises(ValueError, match="finite"):
            peaks(wrong)


def test_a_box_holds_its_edge_and_what_the_tolerance_adds() -> None:
    found = maps((0, 0), (1, 2), (2, 4))
    assert peak_in_box(found, Place(0.1, 0.0, 0.4, 0.5)).tolist() == [True, True, False]
    assert peak_in_box(found, Place(0.2, 0.4, 0.4, 0.2)).tolist() == [False, True, False]
    assert peak_in_box(found, Place(0.2, 0.4, 0.4, 0.2), tolerance=0.25).tolist() == [True, True, False]
    assert not peak_in_box(np.zeros((1, 2, 2)), Place(0.0, 0.0, 1.0, 1.0)).any()
    for place in (Place(0.5, 0.5), Place(0.0, 0.0, 20.0, 20.0, in_pixels=True)):
        with pytest.raises(ValueError, match="expected a box in shares"):
            peak_in_box(found, place)


def test_the_middle_is_in_neither_half() -> None:
    found = maps((0, 0), (0, 1), (1, 2), (2, 4))
    assert [share_in_half(found, half) for half in ("left", "right", "top", "bottom")] == [0.5, 0.25, 0.5, 0.25]
    assert np.isnan(share_in_half(found[:0], "left"))
