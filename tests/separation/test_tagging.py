"""What is heard, and when."""

from pathlib import Path

import numpy as np
import pytest

from trisep import cli
from trisep.errors import MediaError
from trisep.media.audio_writer import write_audio
from trisep.separation.tagging import Tag, tag
from trisep.types import Audio


def test_spans_are_where_a_tag_reaches_half_of_its_own_maximum() -> None:
    assert Tag("a", 0.5, (0.1, 0.4, 0.8, 0.1, 0.5)).spans() == [(1, 3), (4, 5)]
    assert Tag("a", 0.5, (0.2,)).spans() == [(0, 1)]


def test_the_likeliest_come_first_with_a_value_for_every_second() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal((2, 3 * 22050 + 1)).astype(np.float32)
    tags = tag(Audio(noise, 22050), num_tags=5)
    assert len(tags) == 5
    assert all(len(one.per_second) == 4 and 0 <= one.probability <= 1 for one in tags)
    largest = [max(one.probability, *one.per_second) for one in tags]
    assert largest == sorted(largest, reverse=True) == [one.likeliest for one in tags]


def test_the_table_shows_the_probability_that_it_is_ordered_by(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tags = [Tag("Trumpet", 0.02, (0.0, 0.6)), Tag("Music", 0.4, (0.3, 0.3))]
    monkeypatch.setattr("trisep.separation.tagging.tag", lambda *_, **__: tags)
    assert cli.main(["tag", "clip.wav"]) == 0
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["probability", "0.60", "0.40"]


def test_no_sample_is_a_mistake_in_one_line() -> None:
    with pytest.raises(MediaError, match="holds no sample"):
        tag(Audio(np.zeros((1, 0), np.float32), 16000))


def test_what_there_is_of_a_file_that_is_cut_off_is_heard_if_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal((1, 48000)).astype(np.float32)
    file = tmp_path / "a.wav"
    write_audio(file, Audio(noise, 16000), subtype="wav_float32")
    file.write_bytes(file.read_bytes()[:100_000])
    assert cli.main(["tag", str(file)]) == 2
    assert "or give --allow-truncated" in capsys.readouterr().err
    assert cli.main(["tag", str(file), "--allow-truncated", "--number", "3"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
