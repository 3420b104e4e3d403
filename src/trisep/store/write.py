"""Clips are written into one shard: an uncompressed tar that webdataset reads, and the index entries of its clips.

This module decodes nothing, and does not choose what becomes a clip.
"""

import io
import json
import struct
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from trisep.media.files import replacing
from trisep.store.index import ClipEntry

FULL_SCALE = 32768
"""The 16-bit value that would stand for 1.0."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipContent:
    """The content of a clip that is to be written into a shard."""

    key: str
    source: str
    source_sha256: str
    start_seconds: float
    sample_rate_hz: int
    waveform: Float32[np.ndarray, "S"]
    """Samples with full scale at ±1; a sound beyond that is scaled to fit when it is written."""
    rms_db: float
    peak: float
    frame_times_seconds: tuple[float, ...]
    frames: tuple[bytes, ...]
    """One JPEG file per frame."""


def write_shard(path: Path, clips: Iterable[ClipContent], *, shard: int) -> tuple[ClipEntry, ...]:
    """Write clips in the order given; the tar appears under its name when it is complete.

    One clip at a time is in memory. The same clips give the same bytes: no times, owners or modes of this machine are
    stored. Raises MediaError when the shard cannot be written.
    """
    with replacing(path) as temporary:
        # In USTAR each member has one header of 512 bytes, never an extended one, so offsets are known beforehand.
        with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
            return tuple(_write_clip(tar, clip, shard) for clip in clips)


def encode_wav(waveform: Float32[np.ndarray, "S"], *, sample_rate_hz: int) -> tuple[bytes, float]:
    """Return a mono 16-bit wav file with a header of 44 bytes, and the factor that the sound was multiplied by to fit.

    The factor is 1 unless the sound is beyond full scale. 16-bit value = round(32768 · scale · sample), so that a
    sample that came from 16 bits is stored exactly.
    """
    peak = float(np.abs(waveform).max(initial=0.0))
    limit = (FULL_SCALE - 1) / FULL_SCALE
    # -1.0 fits 16 bits, +1.0 does not; one limit applies to both signs only when something is beyond full scale.
    scale = 1.0 if peak <= 1.0 else limit / peak
    values = np.clip(np.rint(waveform.astype(np.float64) * (scale * FULL_SCALE)), -FULL_SCALE, FULL_SCALE - 1).astype(
        "<i2"
    )
    return wav_header(len(values), sample_rate_hz=sample_rate_hz) + values.tobytes(), scale


def wav_header(num_samples: int, *, sample_rate_hz: int) -> bytes:
    """Return the 44 bytes before the samples of a mono 16-bit wav file."""
    size = 2 * num_samples
    chunks = (b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, sample_rate_hz, 2 * sample_rate_hz, 2, 16, b"data", size)
    return struct.pack("<4sI4s4sIHHIIHH4sI", *chunks)


def _write_clip(tar: tarfile.TarFile, clip: ClipContent, shard: int) -> ClipEntry:
    """Append one clip's members in the order of their names, and return the clip's index entry."""
    wav, wav_scale = encode_wav(clip.waveform, sample_rate_hz=clip.sample_rate_hz)
    description = {
        "source": clip.source,
        "sha256": clip.source_sha256,
        "start_seconds": clip.start_seconds,
        "duration_seconds": len(clip.waveform) / clip.sample_rate_hz,
        "sample_rate_hz": clip.sample_rate_hz,
        "num_samples": len(clip.waveform),
        "rms_db": clip.rms_db,
        "peak": clip.peak,
        "wav_scale": wav_scale,
        "frame_times_seconds": clip.frame_times_seconds,
    }
    text = json.dumps(description, sort_keys=True, allow_nan=False).encode("ascii")
    frames = tuple(_add(tar, f"{clip.key}.{number:03d}.jpg", frame) for number, frame in enumerate(clip.frames))
    return ClipEntry(
        key=clip.key,
        source=clip.source,
        start_seconds=clip.start_seconds,
        num_samples=len(clip.waveform),
        rms_db=clip.rms_db,
        peak=clip.peak,
        wav_scale=wav_scale,
        frame_times_seconds=clip.frame_times_seconds,
        shard=shard,
        frames=frames,
        description=_add(tar, f"{clip.key}.json", text),
        wav=_add(tar, f"{clip.key}.wav", wav),
    )


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> tuple[int, int]:
    """Append one file; return offset and size of its content."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    offset = tar.offset + tarfile.BLOCKSIZE
    tar.addfile(member, io.BytesIO(content))
    return offset, len(content)
