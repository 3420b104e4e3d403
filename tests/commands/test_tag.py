"""`trisep tag`: the table, and the picture."""

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


@pytest.mark.parametrize(("name", "message"), [("heard.jpg", "ends in .png"), ("there.png", "is there already")])
def test_a_picture_is_new_and_png(name: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "there.png").write_bytes(b"mine")
    assert main(["tag", str(tmp_path / "missing.wav"), "--picture", str(tmp_path / name)]) == 2
    assert message in capsys.readouterr().err
    assert (tmp_path / "there.png").read_bytes() == b"mine"
