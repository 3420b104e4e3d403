"""One file into clips: cut without loss, too short, without picture, or broken."""

from pathlib import Path

import numpy as np
import pytest
from clip_folders import tone, write_clip

from trisep.errors import ConfigError
from trisep.media.audio import read_audio
from trisep.media.audio_writer import write_audio
from trisep.media.image import decode_jpeg
from trisep.store.ingest import ClipSettings, ingest_file
from trisep.store.layout import SkippedInput
from trisep.store.write import ClipContent
from trisep.types import Audio


def _ingest(path: Path, settings: ClipSettings) -> list[ClipContent | SkippedInput]:
    return list(ingest_file(path, source=path.name, sha256="ab" * 32, number=7, settings=settings))


def test_long_files_are_cut_without_losing_a_sample(tmp_path: Path) -> None:
    write_clip(tmp_path / "long.mp4", seconds=7.5)
    settings = ClipSettings(segment_seconds=3.0, short_side=32)
    items = _ingest(tmp_path / "long.mp4", settings)
    clips = [item for item in items if isinstance(item, ClipContent)]
    assert len(items) == len(clips) == 3
    assert [clip.key for clip in clips] == [f"0000007-{number:04d}-abababab" for number in range(3)]
    assert [clip.start_seconds for clip in clips] == [0.0, 3.0, 6.0]
    assert [len(clip.waveform) for clip in clips[:2]] == [48000, 48000]
    whole = read_audio(tmp_path / "long.mp4", sample_rate_hz=16000, mono=True).samples[0]
    np.testing.assert_array_equal(np.concatenate([clip.waveform for clip in clips]), whole)
    assert [clip.frame_times_seconds for clip in clips] == [(0.0, 1.0, 2.0), (0.0, 1.0, 2.0), (0.0, 1.0)]
    assert {decode_jpeg(frame).shape for clip in clips for frame in clip.frames} == {(32, 43, 3)}


def test_a_short_end_is_counted_with_its_place(tmp_path: Path) -> None:
    write_clip(tmp_path / "long.mp4", seconds=3.5)
    items = _ingest(tmp_path / "long.mp4", ClipSettings(segment_seconds=3.0))
    assert isinstance(items[0], ClipContent)
    assert isinstance(items[1], SkippedInput) and (items[1].reason, items[1].start_seconds) == ("too short", 3.0)


def test_only_the_beginning_is_used_when_asked(tmp_path: Path) -> None:
    write_clip(tmp_path / "long.mp4", seconds=4.0)
    (clip,) = _ingest(tmp_path / "long.mp4", ClipSettings(max_seconds=2.5, sample_rate_hz=8000))
    assert isinstance(clip, ClipContent) and len(clip.waveform) == 20000


def test_sound_alone_is_kept_when_allowed(tmp_path: Path) -> None:
    write_audio(tmp_path / "noise.wav", tone(2.0), subtype="wav_float32")
    (clip,) = _ingest(tmp_path / "noise.wav", ClipSettings(audio_only_ok=True))
    assert isinstance(clip, ClipContent) and clip.frames == ()
    assert clip.rms_db == pytest.approx(20 * np.log10(0.1 / np.sqrt(2)), abs=0.01)
    assert clip.peak == pytest.approx(0.1, abs=1e-4)


def test_channels_that_cancel_are_no_silence_and_an_offset_is_not_stored(tmp_path: Path) -> None:
    sound = tone(2.0)
    opposite = np.concatenate([sound.samples, -sound.samples]) + np.float32(0.3)
    write_audio(tmp_path / "a.wav", Audio(opposite, sound.sample_rate_hz), subtype="wav_float32")
    write_audio(tmp_path / "b.wav", Audio(0 * opposite + 0.3, sound.sample_rate_hz), subtype="wav_float32")
    (clip,) = _ingest(tmp_path / "a.wav", ClipSettings(audio_only_ok=True))
    assert isinstance(clip, ClipContent) and abs(float(clip.waveform.mean())) < 1e-4
    assert clip.rms_db == pytest.approx(20 * np.log10(0.1 / np.sqrt(2)), abs=0.01)
    (item,) = _ingest(tmp_path / "b.wav", ClipSettings(audio_only_ok=True))
    assert isinstance(item, SkippedInput) and item.reason == "silent"


def test_a_decoder_that_fails_in_any_way_is_a_broken_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> None:
        raise ZeroDivisionError("bad header")

    monkeypatch.setattr("trisep.store.ingest.probe", fail)
    (item,) = _ingest(tmp_path / "x.mp4", ClipSettings())
    assert item == SkippedInput(source="x.mp4", reason="broken", detail="ZeroDivisionError: bad header")


def test_a_truncated_file_is_broken(tmp_path: Path) -> None:
    write_clip(tmp_path / "whole.mp4", seconds=4.0)
    content = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) // 2])
    (item,) = _ingest(tmp_path / "cut.mp4", ClipSettings())
    assert isinstance(item, SkippedInput) and item.reason == "broken"
    assert str(tmp_path) not in item.detail


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sample_rate_hz", 10),
        ("frames_per_second", 0.0),
        ("short_side", 1),
        ("jpeg_quality", 0),
        ("segment_seconds", 0.5),
        ("min_seconds", 0.0),
    ]
    + [("min_seconds", 0.0), ("max_seconds", 0.5), ("silence_db", 3.0)],
)
def test_settings_out_of_range_name_themselves(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name}: expected"):
        ClipSettings(**{name: value})  # type: ignore[arg-type]
