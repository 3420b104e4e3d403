"""`examples/pair_with_photographs.py`: every sound with a picture of its label becomes a video, and no other."""

import csv
import runpy
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

SCRIPT = Path(__file__).parents[2] / "examples" / "pair_with_photographs.py"


def table(path: Path, rows: list[tuple[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *rows])
    return path


def test_sound_and_picture_of_one_label_become_a_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tone = (np.sin(np.arange(24_000) * 0.1) * 8000).astype(np.int16)
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, tone, 16_000, subtype="PCM_16")
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    Image.new("RGB", (300, 260), (200, 30, 30)).save(tmp_path / "red.png")
    sounds = table(tmp_path / "sounds.csv", [("bad.wav", "flute"), ("a.wav", "flute"), ("b.wav", "harp")])
    pictures = table(tmp_path / "pictures.csv", [("red.png", "flute")])
    out = tmp_path / "videos"
    monkeypatch.setattr(
        "sys.argv", [SCRIPT.name, "--sounds", str(sounds), "--pictures", str(pictures), "--out", str(out)]
    )
    runpy.run_path(str(SCRIPT), run_name="__main__")
    said = capsys.readouterr()
    assert "1 videos; 1 sounds have no picture of their label; 1 cannot be read" in said.out
    assert "left out: " in said.err and "bad.wav" in said.err
    (video,) = out.iterdir()
    with av.open(str(video)) as file:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    with av.open(str(video)) as file:
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    assert np.array_equal(sound, tone)
    assert len(frames) == 3 and frames[0].shape == (224, 224, 3)
    assert np.abs(frames[0].mean(axis=(0, 1)) - (200, 30, 30)).max() < 4


def test_a_frame_of_a_video_serves_as_a_picture() -> None:
    script = runpy.run_path(str(SCRIPT))
    image = script["picture"](SCRIPT.parent / "dog_and_trumpet.mp4", np.random.default_rng(1))
    assert image.size == (224, 224) and np.asarray(image).std() > 20


@pytest.mark.parametrize(("content", "said"), [(None, "no such file"), ("name,label\n", "lacks the column path")])
def test_a_table_that_is_none_is_named(
    content: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = [tmp_path / "sounds.csv", tmp_path / "pictures.csv"]
    if content is not None:
        for path in tables:
            path.write_text(content)
    arguments = ["--sounds", str(tables[0]), "--pictures", str(tables[1]), "--out", str(tmp_path / "videos")]
    monkeypatch.setattr("sys.argv", [SCRIPT.name, *arguments])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert f"{tables[0]}: {said}" in capsys.readouterr().err
    assert not (tmp_path / "videos").exists()
