"""Two evaluations of the same mixtures tested against each other, and tables that do not belong together."""

import csv
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from score_tables import BASE, rows, write_table

from trisep.cli import main
from trisep.evaluation.journal import COLUMNS


@pytest.fixture
def a(tmp_path: Path) -> Path:
    return write_table(tmp_path / "a", BASE)


def test_who_is_better_where(a: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # B is 2 dB better at rain and 1 dB worse at dogs; of the last mixture it lacks the dog.
    gains = [(0.0, 7.0)] * 7 + [(float("nan"), 7.0)]
    b = write_table(tmp_path / "b", [rows(index, gain) for index, gain in enumerate(gains)])
    assert main(["compare", str(a), str(b), "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert text == (tmp_path / "out" / "comparison.md").read_text()
    # Mixtures' differences: seven of (1 − 2) / 2, one of −2.
    assert "SDRi, A − B: -0.69 dB" in text and "15 sources compared, 1 skipped" in text
    assert "p = 0.0078 (Wilcoxon signed-rank), p = 0.0078 (sign-flip" in text
    with (tmp_path / "out" / "comparison.csv").open(newline="") as file:
        everything, dog, rain = csv.DictReader(file)
    assert (everything["label"], everything["sources"], everything["wins"]) == ("all", "15", "7")
    assert (dog["label"], dog["sources"], dog["win_rate"], dog["mean_difference"]) == (
        "dog",
        "7",
        "1.000000",
        "1.000000",
    )
    assert (rain["label"], rain["wins"], rain["win_rate"], rain["mean_b"]) == ("rain", "0", "0.000000", "7.000000")
    with Image.open(tmp_path / "out" / "comparison.png") as picture:
        assert picture.size[0] == 1100


@pytest.mark.parametrize("name", ["comparison.csv", "comparison.md", "comparison.png"])
def test_a_file_of_the_users_own_is_kept(
    name: str, a: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("label,notes\ndog,mine\n")
    assert main(["compare", str(a), str(a), "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"{name}: is there already and no result of trisep compare; choose another --out")
    assert [path.name for path in out.iterdir()] == [name] and "mine" in (out / name).read_text()


def test_a_comparison_replaces_an_earlier_one(a: Path, tmp_path: Path) -> None:
    other = shutil.copytree(a, tmp_path / "other")
    command = ["compare", str(a), str(other), "--out", str(tmp_path / "out")]
    assert main(command) == 0
    assert main([*command, "--metric", "snr"]) == 0
    assert "SNR, A − B" in (tmp_path / "out" / "comparison.md").read_text()


def test_a_pipe_in_the_place_of_a_table_is_not_waited_for(a: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "comparison.csv")
    assert main(["compare", str(a), str(a), "--out", str(tmp_path)]) == 2
    assert (tmp_path / "comparison.csv").is_fifo()


def test_two_systems_of_one_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_table(
        tmp_path / "a", [[*table, *rows(index, (1.0, 5.0), "floor")] for index, table in enumerate(BASE)]
    )
    assert main(["compare", str(folder), str(folder / "text.csv"), "--system-b", "floor"]) == 0
    text = capsys.readouterr().out
    assert "| all | 16 | 0 | 50 % |" in text and "p = 1 (Wilcoxon" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"other_path": "else.wav"}, "other_path of mixture 3, source 0 is '31.wav' in A and 'else.wav' in B"),
        ({"label": "cat"}, "label of mixture 3, source 0 is 'dog' in A and 'cat' in B"),
        ({"mixture": 99}, "mixture 3, source 0 is not in B"),
    ],
)
def test_other_pairs_are_refused_by_the_first_difference(
    change: dict[str, object], message: str, a: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = [list(table) for table in BASE]
    tables[3][0] = replace(tables[3][0], **change)  # type: ignore[arg-type]
    b = write_table(tmp_path / "b", tables)
    assert main(["compare", str(a), str(b)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be compared: " in line and message in line


def test_another_protocol_is_refused(a: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    b = write_table(tmp_path / "b", BASE, protocol="sop")
    assert main(["compare", str(a), str(b)]) == 2
    assert (
        "cannot be compared: protocol is avmini in A and sop in B; evaluate both with the same settings"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("{a} {a} --metric magic", "unknown metric 'magic': expected one of sdr, sir"),
        ("{a} {a} --system-b magic", "holds no system 'magic': expected one of model"),
        ("{a} {a}/none", "none: no such folder or table"),
        ("{a} {a}", "would be compared with itself; name another system with --system-b"),
        ("{a} {a}/..", "holds no table; expected what trisep evaluate --out wrote"),
        ("{a} {a}/text.json", "lacks the columns group, interference, label, level_db, mixture,"),
    ],
)
def test_wrong_input_is_one_clear_line(words: str, message: str, a: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *words.format(a=a).split()]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line and line.count("other_label") <= 1


@pytest.mark.parametrize(
    ("suffix", "change", "message"),
    [
        (".csv", ("\n0,1,", "\n0,0,"), "has mixture 0, source 0 of system 'model' twice; remove a row"),
        (".csv", ("\n0,", "\nfirst,"), "got mixture 'first', source '0', sdri '1.000000'; correct the row"),
        (
            ".csv",
            ("1.000000", ""),
            "expected two whole numbers and a score (or skipped), got mixture '0', source '0', sdri ''",
        ),
        (
            ".json",
            (None, "5"),
            "text.json: expected the summary that trisep evaluate wrote, got 5; correct or remove it",
        ),
        (".json", (None, "{"), "text.json: not readable as JSON"),
        (
            ".csv",
            (None, ",".join(COLUMNS)),
            "text.csv: is a table without rows; expected what trisep evaluate --out wrote",
        ),
    ],
)
def test_a_spoilt_table_is_one_clear_line(
    suffix: str, change: tuple[str | None, str], message: str, a: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = a / f"text{suffix}"
    old, new = change
    file.write_text(new if old is None else file.read_text().replace(old, new, 1 if old.startswith("\n") else -1))
    assert main(["compare", str(a), str(a)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_a_folder_of_several_tables_has_to_be_told_which(a: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_table(a, BASE, name="image")
    assert main(["compare", str(a), str(a)]) == 2
    assert "holds 2 tables (image.csv, text.csv): name one of them" in capsys.readouterr().err


def test_nothing_in_common_is_refused(a: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    b = write_table(tmp_path / "b", [rows(index, (float("nan"), float("nan"))) for index in range(8)])
    assert main(["compare", str(a), str(b)]) == 2
    assert "no source has a score in both" in capsys.readouterr().err


def test_a_name_that_is_not_utf_8(a: Path, tmp_path: Path) -> None:
    other = tmp_path / os.fsdecode(b"b\xff")
    shutil.copytree(a, other)
    assert main(["compare", str(a), str(other), "--out", str(tmp_path / "out")]) == 0
    assert "b\\udcff" in (tmp_path / "out" / "comparison.md").read_text()
