"""Videos with sound written and read back, and sound replaced under a picture."""

import errno
import os
from pathlib import Path

import av
import numpy as np
import pytest

from trisep.errors import MediaError
from trisep.media.audio import read_audio
from trisep.media.probe import probe
from trisep.media.video import read_frames, replace_audio, write_video
from trisep.types import Audio


@pytest.fixture
def frames():
    """Twenty frames of rising grey, of odd size."""
    return [np.full((35, 51, 3), 10 * index, np.uint8) for index in range(20)]


@pytest.mark.parametrize(("num_channels", "rate"), [(1, 16000), (2, 44100), (6, 48000), (8, 48000)])
def test_frames_and_sound_come_back(tmp_path, frames, chirp, num_channels, rate):
    sound = chirp(num_channels, rate, 2.0)
    write_video(tmp_path / "a.mp4", frames, fps=10, audio=Audio(sound, rate))
    info = probe(tmp_path / "a.mp4")
    assert (info.video[0].width, info.video[0].height, info.video[0].fps) == (52, 36, 10.0)
    assert info.duration_seconds == pytest.approx(2.0, abs=0.01)
    got = read_frames(tmp_path / "a.mp4", [0.0, 0.7, 1.9])
    assert np.abs(got.mean(axis=(1, 2, 3)) - [0, 70, 190]).max() < 4
    heard = read_audio(tmp_path / "a.mp4")
    assert heard.sample_rate_hz == rate
    assert heard.samples.shape == sound.shape
    assert np.corrcoef(heard.samples[0, 2000:-2000], sound[0, 2000:-2000])[0, 1] > 0.98


def test_a_rate_that_aac_lacks_becomes_48_khz(tmp_path, frames, chirp):
    write_video(tmp_path / "a.mp4", frames, fps=10, audio=Audio(chirp(1, 50000, 2.0), 50000))
    heard = read_audio(tmp_path / "a.mp4")
    assert (heard.sample_rate_hz, heard.num_samples) == (48000, 96000)


def _packets(path):
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.dts is not None]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_replaced_sound_leaves_the_picture_untouched(make_media, tmp_path, chirp, suffix):
    source = make_media("a.mp4", sounds=[(chirp(2, 48000, 2.0), 48000)], levels=[10 * index for index in range(20)],
                        times_seconds=[index / 10 for index in range(20)], rotation=-90)  # fmt: skip
    other = chirp(1, 44100, 2.0)[:, ::-1].copy()
    out = tmp_path / f"out{suffix}"
    replace_audio(source, Audio(other, 44100), out)
    if suffix == ".mp4":
        assert _packets(out) == _packets(source)
    assert np.array_equal(read_frames(out, [0.0, 0.5, 1.9]), read_frames(source, [0.0, 0.5, 1.9]))
    assert probe(out).video[0].rotation_degrees == 90
    assert [(stream.sample_rate_hz, stream.num_channels) for stream in probe(out).audio] == [(44100, 1)]
    heard = read_audio(out).samples
    assert abs(heard.shape[1] - other.shape[1]) < 1024
    assert np.corrcoef(heard[0, 5000:80000], other[0, 5000:80000])[0, 1] > 0.98


def test_replaced_in_place(make_media, chirp):
    path = make_media("a.mp4", levels=[10, 20], times_seconds=[0, 0.5])
    replace_audio(path, Audio(chirp(1, 48000), 48000), path)
    assert len(probe(path).audio) == 1
    assert os.listdir(path.parent) == ["a.mp4"]


def test_a_picture_that_starts_late_stays_late(make_media, tmp_path, chirp):
    source = make_media(
        "late.mkv", sounds=[(chirp(1, 48000, 3.0), 48000)], levels=[20, 120, 220], times_seconds=[1.0, 1.5, 2.0]
    )
    replace_audio(source, read_audio(source), tmp_path / "out.mkv")
    assert np.array_equal(read_frames(tmp_path / "out.mkv", [0.0, 1.5, 2.0]), read_frames(source, [0.0, 1.5, 2.0]))
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert next(container.decode(video=0)).time == pytest.approx(1.0, abs=0.002)


def test_webm_takes_opus(make_media, tmp_path, chirp):
    source = make_media("a.webm", levels=[20, 120], times_seconds=[0, 0.5], video_codec="libvpx-vp9")
    replace_audio(source, Audio(chirp(2, 44100), 44100), tmp_path / "out.webm")
    assert probe(tmp_path / "out.webm").audio[0].sample_rate_hz == 48000


def test_errors_leave_nothing_behind(make_media, tmp_path, frames, chirp):
    sound = Audio(chirp(1, 48000, 0.2), 48000)
    with pytest.raises(MediaError, match="no frames"):
        write_video(tmp_path / "a.mp4", [], fps=10)
    with pytest.raises(MediaError, match="suffix"):
        write_video(tmp_path / "a.xyz", frames, fps=10)
    with pytest.raises(MediaError, match="1 to 6 or 8 channels"):
        write_video(tmp_path / "a.mp4", frames, fps=10, audio=Audio(np.zeros((7, 480), np.float32), 48000))
    with pytest.raises(ValueError, match="one size"):
        write_video(tmp_path / "a.mp4", [frames[0], frames[0][:20]], fps=10)
    with pytest.raises(ValueError, match="fps"):
        write_video(tmp_path / "a.mp4", frames, fps=0)
    with pytest.raises(MediaError, match="create the folder"):
        write_video(tmp_path / "absent" / "a.mp4", frames, fps=10)
    if Path("/proc/self").is_dir():
        with pytest.raises(MediaError, match="/proc/a.mp4: cannot be written"):
            write_video(Path("/proc/a.mp4"), frames, fps=10)
    assert os.listdir(tmp_path) == []
    h264 = make_media("a.mp4", levels=[20], times_seconds=[0])
    with pytest.raises(MediaError, match="out.webm: cannot be written"):
        replace_audio(h264, sound, tmp_path / "out.webm")
    song = make_media("a.m4a", sounds=[(sound.samples, 48000)])
    with pytest.raises(MediaError, match="no picture"):
        replace_audio(song, sound, tmp_path / "out.mp4")
    assert sorted(os.listdir(tmp_path)) == ["a.m4a", "a.mp4"]


def test_full_disk_at_the_move(tmp_path, frames, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("trisep.media.files.os.replace", full)
    with pytest.raises(MediaError, match="free some space"):
        write_video(tmp_path / "a.mp4", frames, fps=10)
    assert os.listdir(tmp_path) == []
