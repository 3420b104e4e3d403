"""The wav files and shards of a store, read by others."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from trisep.store.write import ClipContent, encode_wav, write_shard


def _clip(key: str, waveform: np.ndarray) -> ClipContent:
    return ClipContent(
        key=key,
        source="a.mp4",
        source_sha256="00",
        start_seconds=0.0,
        sample_rate_hz=8000,
        waveform=waveform,
        rms_db=-20.0,
        peak=0.5,
        frame_times_seconds=(0.0, 1.0),
        frames=(b"first", b"second picture"),
    )


def test_wav_is_read_by_soundfile_within_half_a_step() -> None:
    waveform = np.random.default_rng(0).uniform(-1.0, 1.0, 1000).astype(np.float32) * 0.99
    data, scale = encode_wav(waveform, sample_rate_hz=22050)
    samples, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    assert (rate, scale) == (22050, 1.0)
    assert np.abs(samples - waveform).max() <= 0.5 / 32768 + 1e-9


def test_wav_keeps_sixteen_bit_values_exactly() -> None:
    values = np.array([-32768, -1, 0, 1, 32767], dtype=np.int16)
    data, _ = encode_wav(values.astype(np.float32) / 32768, sample_rate_hz=16000)
    assert data[44:] == values.astype("<i2").tobytes()


def test_wav_beyond_full_scale_is_scaled_not_clipped() -> None:
    waveform = np.array([0.0, 1.0, -4.0, 2.0], dtype=np.float32)
    data, scale = encode_wav(waveform, sample_rate_hz=16000)
    assert scale == pytest.approx(32767 / 32768 / 4.0)
    assert np.frombuffer(data[44:], "<i2").tolist() == [0, 8192, -32767, 16384]


def test_shard_has_sorted_members_without_traces_of_the_machine(tmp_path: Path) -> None:
    entries = write_shard(tmp_path / "s.tar", [_clip("0000001-0000-ab", np.zeros(10, np.float32))], shard=3)
    content = (tmp_path / "s.tar").read_bytes()
    with tarfile.open(tmp_path / "s.tar") as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == [
        f"0000001-0000-ab.{end}" for end in ("000.jpg", "001.jpg", "json", "wav")
    ]
    assert {(member.mtime, member.uid, member.gid, member.uname, member.gname) for member in members} == {
        (0, 0, 0, "", "")
    }
    (entry,) = entries
    assert entry.shard == 3
    assert [content[offset : offset + size] for offset, size in entry.frames] == [b"first", b"second picture"]
    assert content[entry.wav[0] : entry.wav[0] + 4] == b"RIFF" and entry.wav[1] == 44 + 20
    assert [path.name for path in tmp_path.iterdir()] == ["s.tar"]
