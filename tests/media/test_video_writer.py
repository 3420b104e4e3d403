"""Videos with sound, written and read back."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from trisep.errors import MediaError
from trisep.media.audio import read_audio
from trisep.media.probe import probe
from trisep.media.video import read_frames, write_video
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


def test_errors_leave_nothing_behind(tmp_path, frames):
    with pytest.raises(MediaError, match="no frames"):
        write_video(tmp_path / "a.mp4", [], fps=10)
    with pytest.raises(MediaError, match="suffix"):
        write_video(tmp_path / "a.xyz", frames, fps=10)
    with pytest.raises(MediaError, match="this one has 7"):
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


def test_full_disk_at_the_move(tmp_path, frames, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("trisep.media.files.os.replace", full)
    with pytest.raises(MediaError, match="free some space"):
        write_video(tmp_path / "a.mp4", frames, fps=10)
    assert os.listdir(tmp_path) == []
