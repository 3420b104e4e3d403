"""Sound into files, read back by other readers; long files, loud ones, and disks that refuse."""

import errno
import io
import os
import struct
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from trisep.errors import MediaError
from trisep.media.audio import AudioWriter, read_audio, write_audio
from trisep.media.audio_writer import RIFF_LIMIT_BYTES, quantize, wav_header
from trisep.types import Audio

SUBTYPES = ["wav_float32", "wav_int24", "wav_int16", "flac_int24", "flac_int16"]


@pytest.mark.parametrize("subtype", SUBTYPES)
@pytest.mark.parametrize("num_channels", [1, 2, 6, 8])
def test_round_trip_by_two_readers(tmp_path, chirp, subtype, num_channels):
    path = tmp_path / ("a." + subtype[:4].rstrip("_"))
    samples = chirp(num_channels, 44100, 0.1)[:, :4403]
    with AudioWriter(path, sample_rate_hz=44100, num_channels=num_channels, subtype=subtype) as writer:
        writer.write(samples[:, :1000])
        writer.write(samples[:, 1000:1000])
        writer.write(samples[:, 1000:])
        assert not path.exists()
    assert writer.peak == np.abs(samples).max()
    assert writer.num_samples == 4403
    theirs, rate = soundfile.read(path, dtype="float32", always_2d=True)
    ours = read_audio(path)
    assert rate == ours.sample_rate_hz == 44100
    tolerance = 0.0 if subtype == "wav_float32" else 2.0 ** -int(subtype[-2:])
    assert np.abs(theirs.T - samples).max() <= tolerance
    assert np.array_equal(ours.samples, theirs.T)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("subtype", SUBTYPES)
def test_an_empty_sound_is_a_valid_file(tmp_path, subtype):
    path = tmp_path / "a.snd"
    write_audio(path, Audio(np.zeros((2, 0), np.float32), 8000), subtype=subtype)
    assert soundfile.info(path).frames == 0


def test_small_files_are_plain_riff(tmp_path):
    write_audio(tmp_path / "a.wav", Audio(np.ones((1, 3), np.float32), 8000), subtype="wav_int24")
    data = (tmp_path / "a.wav").read_bytes()
    assert data[:4] == b"RIFF"
    assert struct.unpack("<I", data[4:8])[0] == len(data) - 8
    # 9 bytes of samples and one to make it even.
    assert data[-10:] == b"\xff\xff\x7f" * 3 + b"\0"


@pytest.mark.parametrize("num_channels", [1, 2, 6])
def test_a_file_beyond_4_gib_is_read_by_others(tmp_path, num_channels):
    # A hole in the file stands for the samples: it takes no room on disk.
    num_frames = RIFF_LIMIT_BYTES // (4 * num_channels) + 1000
    header = wav_header(num_frames=num_frames, sample_rate_hz=48000, num_channels=num_channels, bits=32)
    path = tmp_path / "huge.wav"
    with open(path, "wb") as file:
        file.write(header)
        file.truncate(len(header) + num_frames * 4 * num_channels)
    assert header[:4] == b"RF64"
    info = soundfile.info(path)
    assert (info.frames, info.channels, info.samplerate) == (num_frames, num_channels, 48000)
    with av.open(str(path)) as container:
        assert container.streams.audio[0].duration == num_frames


def test_the_writer_turns_to_rf64_by_itself(tmp_path, monkeypatch):
    monkeypatch.setattr("trisep.media.audio_writer.RIFF_LIMIT_BYTES", 1000)
    samples = np.linspace(-1, 1, 900, dtype=np.float32).reshape(1, -1)
    write_audio(tmp_path / "a.wav", Audio(samples, 8000), subtype="wav_float32")
    assert (tmp_path / "a.wav").read_bytes()[:4] == b"RF64"
    assert np.array_equal(soundfile.read(tmp_path / "a.wav", dtype="float32")[0], samples[0])
    assert np.array_equal(read_audio(tmp_path / "a.wav").samples, samples)


def test_integers_never_wrap(tmp_path):
    assert quantize(np.array([[1.0, -1.0, 0.5, 2**-24]], np.float32), 24).tolist() == [[2**23 - 1, -(2**23), 2**22, 0]]
    for subtype in ("wav_int24", "flac_int24"):
        with pytest.raises(MediaError, match=r"peaks at 1\.250"):
            write_audio(tmp_path / "a.wav", Audio(np.array([[0.0, -1.25]], np.float32), 8000), subtype=subtype)
    with pytest.raises(MediaError, match="not finite"):
        write_audio(tmp_path / "a.wav", Audio(np.array([[0.0, np.inf]], np.float32), 8000), subtype="wav_float32")
    assert os.listdir(tmp_path) == []


def test_a_failing_body_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"old")
    with (
        pytest.raises(RuntimeError, match="stop"),
        AudioWriter(path, sample_rate_hz=8000, num_channels=1, subtype="wav_int24") as writer,
    ):
        writer.write(np.zeros((1, 10), np.float32))
        raise RuntimeError("stop")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.wav"]


class _FullDisk(io.FileIO):
    """A file on a disk with room for so many bytes."""

    room = 200

    def write(self, data):
        if self.tell() + len(data) > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


@pytest.mark.parametrize("subtype", SUBTYPES)
@pytest.mark.parametrize("num_samples", [50, 200_000])
def test_full_disk(tmp_path, monkeypatch, subtype, num_samples):
    monkeypatch.setattr(
        "trisep.media.audio_writer.open", lambda name, mode: io.BufferedWriter(_FullDisk(name, mode)), raising=False
    )
    noise = np.random.default_rng(0).uniform(-1, 1, (2, num_samples)).astype(np.float32)
    with pytest.raises(MediaError, match="No space left on device.*free some space") as caught:
        write_audio(tmp_path / "a.wav", Audio(noise, 8000), subtype=subtype)
    assert str(tmp_path / "a.wav") in str(caught.value)
    assert os.listdir(tmp_path) == []


def _write_at_once(file, *arguments, **options):
    """Stands for a libsndfile that writes the header of a flac file when it is opened."""
    if not file.write(b"fLaC"):
        raise soundfile.LibsndfileError(157)


@pytest.mark.parametrize("subtype", SUBTYPES)
def test_a_disk_that_is_full_from_the_start(tmp_path, monkeypatch, subtype):
    monkeypatch.setattr(_FullDisk, "room", 0)
    monkeypatch.setattr("trisep.media.audio_writer.open", _FullDisk, raising=False)
    monkeypatch.setattr("trisep.media.audio_writer.soundfile.SoundFile", _write_at_once)
    with (
        pytest.raises(MediaError) as caught,
        AudioWriter(tmp_path / "a", sample_rate_hz=8000, num_channels=1, subtype=subtype),
    ):
        raise AssertionError("the body was entered")
    reason = "cannot be written (No space left on device); free some space or choose another disk"
    assert str(caught.value) == f"{tmp_path / 'a'}: {reason}" and os.listdir(tmp_path) == []


def test_places_that_cannot_be_written(tmp_path, monkeypatch):
    sound = Audio(np.zeros((1, 10), np.float32), 8000)
    with pytest.raises(MediaError, match="create the folder"):
        write_audio(tmp_path / "absent" / "a.wav", sound, subtype="wav_float32")
    with pytest.raises(MediaError, match="not a folder"):
        write_audio(tmp_path, sound, subtype="wav_float32")
    if Path("/proc/self").is_dir():
        with pytest.raises(MediaError, match=r"/proc/a\.wav: cannot be written"):
            write_audio(Path("/proc/a.wav"), sound, subtype="flac_int24")

    def refuse(*arguments):
        raise PermissionError(errno.EACCES, "denied")

    with monkeypatch.context() as patched:
        patched.setattr("trisep.media.audio_writer.open", refuse, raising=False)
        with pytest.raises(MediaError, match="Permission denied.*may write to"):
            write_audio(tmp_path / "a.wav", sound, subtype="wav_float32")


def test_bad_arguments(tmp_path, unchecked_shapes):
    with pytest.raises(ValueError, match="subtype"):
        AudioWriter(tmp_path / "a", sample_rate_hz=8000, num_channels=1, subtype="mp3")
    with pytest.raises(ValueError, match="positive"):
        AudioWriter(tmp_path / "a", sample_rate_hz=0, num_channels=1, subtype="wav_int24")
    with pytest.raises(MediaError, match="at most 8 channels"):
        AudioWriter(tmp_path / "a", sample_rate_hz=8000, num_channels=9, subtype="flac_int24")
    with AudioWriter(tmp_path / "a.wav", sample_rate_hz=8000, num_channels=2, subtype="wav_int24") as writer:
        with pytest.raises(ValueError, match="block must be"):
            writer.write(np.zeros((1, 10), np.float32))
    with pytest.raises(RuntimeError, match="with block"):
        writer.write(np.zeros((2, 10), np.float32))
