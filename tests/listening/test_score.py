"""Table 5 from answers: hand-computed shares, the interval over raters, and every file that must be refused."""

from pathlib import Path

import numpy as np
import pytest

from trisep import cli
from trisep.commands.listening_test import ScoreArguments
from trisep.errors import ConfigError
from trisep.listening.key import KeyRow, read_key, write_key
from trisep.listening.score import markdown, read_answers, score

HEADER = "rater,sample,answer,seconds"
SYSTEMS = {"m": ("mixture", "mixture"), "t": ("nit", "text"), "i": ("nit", "image")}


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """Two clips of each system, each asked for the violin; the other sound is a dog."""
    rows = [
        KeyRow(
            sample=f"{letter}{number}", model=model, query_kind=kind, label_a="violin", label_b="dog, barking", file="x"
        )
        for letter, (model, kind) in SYSTEMS.items()
        for number in (1, 2)
    ]
    write_key(tmp_path / "key.csv", rows)
    return tmp_path / "key.csv"


def answers_file(folder: Path, rater: str, answers: dict[str, str], header: str = HEADER) -> Path:
    path = folder / f"{rater}.csv"
    lines = [f'{rater},{sample},"{answer}",4.25' for sample, answer in answers.items()]
    path.write_text("\n".join([header, *lines, ""]), encoding="utf-8")
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two raters who finished and one who heard a single clip."""
    first = {"m1": "both", "m2": "violin", "t1": "violin", "t2": "violin", "i1": "violin", "i2": "none"}
    second = {"m1": "both", "m2": "both", "t1": "violin", "t2": "dog, barking", "i1": "both", "i2": "none"}
    return [
        answers_file(tmp_path, name, given) for name, given in (("ann", first), ("bob", second), ("cy", {"t1": "none"}))
    ]


def test_the_key_survives_writing_and_reading(key: Path) -> None:
    rows = read_key(key)
    assert list(rows) == ["m1", "m2", "t1", "t2", "i1", "i2"]
    assert rows["t2"] == KeyRow(
        sample="t2", model="nit", query_kind="text", label_a="violin", label_b="dog, barking", file="x"
    )


def test_shares_are_those_computed_by_hand(key: Path, files: list[Path]) -> None:
    rows = read_key(key)
    mixture, text, image = score(read_answers(files, rows), rows, generator=np.random.default_rng(0))
    assert mixture.shares == {"correct": 0.25, "wrong": 0.0, "both": 0.75, "none": 0.0}
    # Raters count alike: (1 + 1/2 + 0) / 3 correct, though cy answered once and the others twice.
    assert text.shares == pytest.approx({"correct": 0.5, "wrong": 1 / 6, "both": 0.0, "none": 1 / 3})
    assert image.shares == {"correct": 0.25, "wrong": 0.0, "both": 0.25, "none": 0.5}
    assert [(row.num_answers, row.num_raters) for row in (mixture, text, image)] == [(4, 2), (5, 3), (4, 2)]
    # Two raters with 1/2 and 0 correct: a resample has mean 0, 1/4 or 1/2, the outer ones a quarter of the time each.
    assert mixture.correct is not None and (mixture.correct.mean, mixture.correct.low, mixture.correct.high) == (
        0.25,
        0.0,
        0.5,
    )


def test_one_rater_has_no_interval_and_a_system_without_answers_no_row(key: Path, files: list[Path]) -> None:
    rows = read_key(key)
    (only,) = score(read_answers(files[2:], rows), rows, generator=np.random.default_rng(0))
    assert only.model == "nit" and only.correct is None and "[–]" in markdown([only])


def test_the_verb_prints_table_5_and_who_did_not_finish(
    key: Path, files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["listening-test", "score", *map(str, files), "--key", str(key)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| Model | Query type | Correct [95 %] | Wrong | Both | None | answers | raters |"
    assert lines[2] == "| mixture | – | 25.0 [0.0, 50.0] | 0.0 | 75.0 | 0.0 | 4 | 2 |"
    assert lines[3].startswith("| nit | text | 50.0 [") and lines[3].endswith("| 16.7 | 0.0 | 33.3 | 5 | 3 |")
    assert lines[4].startswith("|  | image | 25.0 [")
    assert lines[-2:] == [
        "3 raters, 6 clips, 13 answers, 4.2 s for an answer (median)",
        "not finished: cy answered 1 of 6 clips, which count",
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("ann,zz,violin,1", "sample 'zz', which is not in the key"),
        ("ann,t1,tuba,1", "answers 'tuba': expected one of dog, barking, violin, both, none"),
        (" ,t1,violin,1", "names no rater"),
        ("ann,t1,violin,soon", "took 'soon' seconds"),
        ("ann,t1,violin,-1", "took '-1' seconds"),
        ("ann,t1,violin,inf", "took 'inf' seconds"),
        ("ann,t1", "line 2 has fewer values"),
    ],
)
def test_lines_that_cannot_be_answers_are_refused(tmp_path: Path, key: Path, line: str, message: str) -> None:
    path = tmp_path / "odd.csv"
    path.write_text(f"{HEADER}\n{line}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_answers([path], read_key(key))


def test_duplicates_missing_columns_and_files_that_are_no_tables_are_refused(
    tmp_path: Path, key: Path, files: list[Path]
) -> None:
    rows = read_key(key)
    with pytest.raises(ConfigError, match="ann.csv: line 2 answers sample m1 for rater 'ann' a second time"):
        read_answers([files[0], files[0]], rows)
    with pytest.raises(ConfigError, match="lacks the column seconds"):
        read_answers([answers_file(tmp_path, "dee", {}, "rater,sample,answer")], rows)
    (tmp_path / "latin.csv").write_bytes(f"{HEADER}\nJos".encode() + b"\xe9,t1,violin,1\n")
    with pytest.raises(ConfigError, match="cannot be read as CSV in UTF-8"):
        read_answers([tmp_path / "latin.csv"], rows)
    with pytest.raises(ConfigError, match="is not a file"):
        read_key(tmp_path / "lost.csv")
    with pytest.raises(ConfigError, match="at least one file of answers"):
        ScoreArguments(answers=(), key=key)
    key.write_text(key.read_text(encoding="utf-8") + "t1,nit,text,violin,dog,x\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="holds the sample t1 twice"):
        read_key(key)


def test_a_byte_order_mark_of_a_spreadsheet_does_no_harm(key: Path, files: list[Path]) -> None:
    files[0].write_text("\ufeff" + files[0].read_text(encoding="utf-8"), encoding="utf-8")
    assert len(read_answers(files[:1], read_key(key))) == 6
