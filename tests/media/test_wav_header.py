"""What wav headers declare, and headers that would have FFmpeg take time or memory out of all proportion."""

import struct
import time
from pathlib import Path

import numpy as np
import pytest

from trisep.errors import MediaError
from trisep.media.audio import write_audio
from trisep.media.bounds import LARGEST_BLOCK_BYTES, limit_ffmpeg
from trisep.media.probe import probe
from trisep.media.wav_header import declared_frames, declared_rate_hz
from trisep.types import Audio


def wav(path: Path, *chunks: tuple[bytes, int, bytes]) -> Path:
    """Write a wav file of chunks whose sizes are as given, right or wrong."""
    body = b"".join(name + struct.pack("<I", size) + content for name, size, content in chunks)
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body) + 4) + b"WAVE" + body)
    return path


def test_rate_and_length_of_a_header(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", Audio(np.zeros((2, 300), np.float32), 22050), subtype="wav_int16")
    assert (declared_rate_hz(tmp_path / "a.wav"), declared_frames(tmp_path / "a.wav")) == (22050, 300)
    (tmp_path / "b.wav").write_text("RIFF, but no wav file")
    assert declared_rate_hz(tmp_path / "b.wav") is None and declared_frames(tmp_path / "b.wav") is None
    assert declared_rate_hz(wav(tmp_path / "c.wav", (b"data", 4, b"1234"))) is None


def test_a_chunk_that_claims_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    fmt = struct.pack("<HHIIHH", 1, 1, 16000, 16000, 1, 8)
    text = b"INFO" + b"ISFT" + struct.pack("<I", 0x7FC9_0000) + bytes(4000)
    path = wav(tmp_path / "a.wav", (b"fmt ", 16, fmt), (b"LIST", 0xBA00_001A, text))
    Path("/proc/self/clear_refs").write_text("5")
    with pytest.raises(MediaError, match="a.wav: cannot be read as sound or video"):
        probe(path)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    assert int(status["VmHWM"].split()[0]) - int(status["VmRSS"].split()[0]) < 100 << 10
    assert limit_ffmpeg() and LARGEST_BLOCK_BYTES < 1 << 30


def test_packets_of_one_byte_are_refused_before_millions_of_them_are_read(tmp_path: Path) -> None:
    # A float of 65535 bits has no codec; FFmpeg would look for one in five megabytes, byte by byte.
    fmt = struct.pack("<HHIIHH", 3, 1, 1, 0, 1, 65535)
    path = wav(tmp_path / "a.wav", (b"fmt ", 16, fmt), (b"data", 1 << 20, bytes(1 << 20)))
    began = time.process_time()
    with pytest.raises(MediaError, match="a.wav: its sound has 1 samples a second, expected from 50 to 768000"):
        probe(path)
    assert time.process_time() - began < 0.5
