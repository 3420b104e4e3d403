"""The table of an evaluation while it is written: whole mixtures only, gone on with, and never with other settings."""

import csv
import math
from dataclasses import replace
from pathlib import Path

import pytest
from score_tables import rows

from trisep.errors import ConfigError, MediaError
from trisep.evaluation.journal import COLUMNS, Journal, row_cells

SETTINGS = {"seed": 0, "protocol": "avmini"}


def journal(folder: Path, **settings: object) -> Journal:
    return Journal(folder, "text", settings=SETTINGS | settings, rows_per_mixture=2)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_finished_table_has_its_name_and_nothing_beside_it(tmp_path: Path) -> None:
    with journal(tmp_path / "out") as table:
        assert table.num_done == 0
        for number in range(3):
            table.write(rows(number, (1.0, 2.0)))
        assert names(tmp_path / "out") == ["text.partial.csv", "text.partial.json"]
        assert table.finish() == tmp_path / "out" / "text.csv"
    assert names(tmp_path / "out") == ["text.csv"]
    with (tmp_path / "out" / "text.csv").open(newline="") as file:
        read = list(csv.reader(file))
    assert tuple(read[0]) == COLUMNS and [row[0] for row in read[1:]] == list("001122")


@pytest.mark.parametrize(("lost_rows", "num_done"), [(0.0, 2), (0.1, 1), (1.0, 1), (1.5, 1), (2.0, 1), (2.5, 0)])
def test_an_unfinished_table_goes_on_after_its_last_whole_mixture(
    tmp_path: Path, lost_rows: float, num_done: int
) -> None:
    for folder, stop in ((tmp_path / "whole", 3), (tmp_path / "cut", 2)):
        with journal(folder) as table:
            for number in range(stop):
                table.write(rows(number, (1.0, 2.0)))
    partial = tmp_path / "cut" / "text.partial.csv"
    lines = partial.read_bytes().splitlines(keepends=True)
    assert len({len(line) for line in lines[1:]}) == 1
    partial.write_bytes(b"".join(lines)[: round(sum(map(len, lines)) - lost_rows * len(lines[-1]))])
    with journal(tmp_path / "cut") as table:
        assert table.num_done == num_done
        for number in range(table.num_done, 3):
            table.write(rows(number, (1.0, 2.0)))
    assert partial.read_bytes() == (tmp_path / "whole" / "text.partial.csv").read_bytes()


def test_a_table_with_other_columns_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "text.partial.csv").write_text("mixture,source\n0,0\n0,1\n")
    with journal(tmp_path) as table:
        assert table.num_done == 0
    assert (tmp_path / "text.partial.csv").read_text() == ",".join(COLUMNS) + "\n"


def test_other_settings_are_refused_once_there_is_a_row(tmp_path: Path) -> None:
    with journal(tmp_path):
        pass
    with journal(tmp_path, seed=1) as table:
        table.write(rows(0, (1.0, 2.0)))
    with pytest.raises(ConfigError, match=r"text.partial.csv: is unfinished, with other settings \(seed 1, now 2\)"):
        journal(tmp_path, seed=2)
    with journal(tmp_path, seed=1) as table:
        assert table.num_done == 1


def test_a_failure_before_the_first_row_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), journal(tmp_path):
        raise ZeroDivisionError
    assert names(tmp_path) == []
    with pytest.raises(ZeroDivisionError), journal(tmp_path) as table:
        table.write(rows(0, (1.0, 2.0)))
        raise ZeroDivisionError
    assert names(tmp_path) == ["text.partial.csv", "text.partial.json"]


def test_half_a_mixture_is_a_mistake_and_a_place_that_cannot_be_written_an_error(tmp_path: Path) -> None:
    with journal(tmp_path) as table, pytest.raises(ValueError, match="expected 2, all of one mixture, got 1"):
        table.write(rows(0, (1.0, 2.0))[:1])
    (tmp_path / "file").write_text("x")
    with pytest.raises(MediaError, match="cannot be written"):
        journal(tmp_path / "file")


def test_cells_are_one_line_each_with_six_digits() -> None:
    row = replace(rows(7, (1.25, 2.0))[1], label="two\nlines", level_db=-math.inf, start=1 / 3)
    cells = dict(zip(COLUMNS, row_cells(row), strict=True))
    assert (cells["mixture"], cells["source"], cells["label"]) == ("7", "1", "two lines")
    assert (cells["level_db"], cells["start"], cells["mixture_level_db"]) == ("-inf", "0.333333", "-17.000000")
    assert row.scores is not None and cells["sdri"] == f"{row.scores.sdri:.6f}"
    skipped = dict(zip(COLUMNS, row_cells(replace(row, scores=None, skipped="silent")), strict=True))
    assert (skipped["sdri"], skipped["skipped"]) == ("", "silent")
