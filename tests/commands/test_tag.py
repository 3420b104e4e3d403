"""`trisep tag`: the table, and the picture."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from trisep.cli import main


def test_the_picture_has_a_row_for_every_tag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound, picture = tmp_path / "noise.wav", tmp_path / "heard.png"
    soundfile.write(sound, 0.1 * np.random.default_rng(0).standard_normal(32000), 16000)
    heights = []
    for number in (2, 6):
        assert main(["tag", str(sound), "--number", str(number), "--picture", str(picture)]) == 0
        assert len(capsys.readouterr().out.splitlines()) == 1 + number
        with Image.open(picture) as drawn:
            assert drawn.format == "PNG"
            heights.append(drawn.height)
        picture.unlink()
    assert heights[1] - heights[0] == pytest.approx(4 * 32, abs=2)


def test_json_has_the_probabilities_of_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound = 0.001 * np.random.default_rng(0).standard_normal(48000)
    sound[20000:24000] += np.sin(np.arange(4000) / 4)  # heard in one second, and hardly in the whole
    soundfile.write(tmp_path / "beep.wav", sound, 16000)
    assert main(["tag", str(tmp_path / "beep.wav")]) == 0
    table = capsys.readouterr().out.splitlines()[1:]
    assert main(["tag", str(tmp_path / "beep.wav"), "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    values = [entry["probability"] for entry in entries]
    assert values == sorted(values, reverse=True) and len(values) == len(table) == 10
    for row, entry, value in zip(table, entries, values, strict=True):
        assert row.startswith(entry["name"]) and f" {value:.2f} " in row
        assert value == max(entry["whole_file"], *entry["per_second"])
    assert any(entry["whole_file"] < entry["probability"] for entry in entries)


@pytest.mark.parametrize(("name", "message"), [("heard.jpg", "ends in .png"), ("there.png", "is there already")])
def test_a_picture_is_new_and_png(name: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "there.png").write_bytes(b"mine")
    assert main(["tag", str(tmp_path / "missing.wav"), "--picture", str(tmp_path / name)]) == 2
    assert message in capsys.readouterr().err
    assert (tmp_path / "there.png").read_bytes() == b"mine"
