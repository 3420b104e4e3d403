"""Gains of one fusion over another by class, from two tables of the same mixtures."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clip_folders import RATE_HZ, tone
from PIL import Image
from score_tables import BASE, rows, write_table

from trisep.cli import main
from trisep.evaluation.mixtures import SourceRow
from trisep.media.audio_writer import write_audio
from trisep.types import Audio


def test_gains_by_class_the_highest_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = write_table(tmp_path / "late", BASE)
    b = write_table(tmp_path / "middle", [rows(index, (2.0, 5.0 - index)) for index in range(8)])
    assert main(["analyze", "fusion", str(a), str(b), "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert text == (tmp_path / "out" / "fusion.md").read_text()
    with (tmp_path / "out" / "fusion.csv").open(newline="") as file:
        everything, rain, dog = csv.DictReader(file)
    # Rain gains 0 to 7 dB, mean 3.5, dogs lose 1 dB in all mixtures: 2 of 2⁸ sign patterns are as extreme.
    assert (rain["label"], rain["gain"], rain["mean_b"]) == ("rain", "3.500000", "1.500000")
    assert 1.5 < float(rain["low"]) < 3.5 < float(rain["high"]) < 5.5 and rain["p_value"] == "0.015625"
    assert (dog["label"], dog["gain"], dog["low"], dog["high"]) == ("dog", "-1.000000", "-1.000000", "-1.000000")
    assert dog["p_value"] == "0.007812"
    assert (everything["sources"], everything["gain"]) == ("16", "1.250000")
    with Image.open(tmp_path / "out" / "fusion.png") as picture:
        assert picture.size[0] == 750
    # A second run replaces the first.
    assert main(["analyze", "fusion", str(b), str(a), "--out", str(tmp_path / "out")]) == 0


def test_a_class_may_be_named_all_and_hold_a_bar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def named(gains: tuple[float, float], index: int) -> list[SourceRow]:
        return [replace(row, label=label) for row, label in zip(rows(index, gains), ("all", "in|out"), strict=True)]

    a = write_table(tmp_path / "a", [named((1.0, 5.0), index) for index in range(8)])
    b = write_table(tmp_path / "b", [named((0.0, 2.0), index) for index in range(8)])
    assert main(["analyze", "fusion", str(a), str(b), "--out", str(tmp_path / "out")]) == 0
    capsys.readouterr()
    with (tmp_path / "out" / "fusion.csv").open(newline="") as file:
        gains = [(row["label"], row["sources"], row["gain"]) for row in csv.DictReader(file)]
    assert gains == [("all", "16", "2.000000"), ("in|out", "8", "3.000000"), ("all", "8", "1.000000")]
    for name, table in (("fusion", tmp_path / "out" / "fusion.md"), ("comparison", tmp_path / "comparison.md")):
        if name == "comparison":
            assert main(["compare", str(a), str(b), "--out", str(tmp_path)]) == 0
        assert r"| in\|out | 8 |" in table.read_text()


def test_tables_of_other_mixtures_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = write_table(tmp_path / "a", BASE), write_table(tmp_path / "b", BASE[:5])
    assert main(["analyze", "fusion", str(a), str(b), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "mixture 5, source 0 is not in B" in error and error.count("\n") == 1
    assert main(["analyze", "fusion", str(a), str(a), "--metric", "nothing", "--out", str(tmp_path / "out")]) == 2
    assert "unknown metric 'nothing'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_with_the_sounds_the_gains_are_set_against_what_they_are_like(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = write_table(tmp_path / "late", BASE)
    b = write_table(tmp_path / "middle", [rows(index, (2.0, 5.0 - index)) for index in range(8)])
    media = tmp_path / "media"
    media.mkdir()
    noise = np.random.default_rng(0).standard_normal((1, 8000)).astype(np.float32)
    for index in range(8):
        write_audio(media / f"{index}0.wav", tone(0.5), subtype="wav_float32")
        write_audio(media / f"{index}1.wav", Audio(0.1 * noise, RATE_HZ), subtype="wav_float32")
    out = tmp_path / "out"
    assert main(["analyze", "fusion", str(a), str(b), "--media", str(media), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "| spectral flatness | – | – | 2 |" in text
    with (out / "fusion_acoustics.csv").open(newline="") as file:
        dog, rain = csv.DictReader(file)
    assert (dog["label"], dog["gain"], rain["gain"]) == ("dog", "-1.000000", "3.500000")
    assert float(dog["flatness"]) < 0.01 < 0.5 < float(rain["flatness"])
    with Image.open(out / "fusion_acoustics.png") as picture:
        assert picture.size == (1240, 920)
    (media / "30.wav").unlink()
    assert main(["analyze", "fusion", str(a), str(b), "--media", str(media), "--out", str(out)]) == 2
    assert "30.wav: no such file" in capsys.readouterr().err
