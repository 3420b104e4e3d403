"""The bytes of a wav file: plain RIFF, and RF64 (EBU Tech 3306) once the file passes 4 GiB.

The header has the same length in both forms, since a RIFF header carries a JUNK chunk where RF64 has its ds64 chunk. So a file whose length
nobody knows beforehand starts as RIFF and becomes RF64 at its end if it must.
"""

import struct
from pathlib import Path

import numpy as np
from jaxtyping import Float32

RIFF_LIMIT_BYTES = 0xFFFF_FFFF
"""Largest size a 32-bit chunk length can say."""
INT24_FULL_SCALE = 1 << 23
_OPEN_LENGTH_BYTES = 0x7FFF_F000
"""Programs that write to a pipe put this or more where the length would stand."""

_PCM, _IEEE_FLOAT, _EXTENSIBLE = 0x0001, 0x0003, 0xFFFE
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
_SPEAKERS = {1: 0x4, 2: 0x3, 4: 0x33, 6: 0x3F, 8: 0x63F}
"""Speaker positions by number of channels (FFmpeg's order: mono, stereo, quad, 5.1, 7.1); other numbers have none."""


def wav_header(*, num_frames: int, sample_rate_hz: int, num_channels: int, is_float: bool) -> bytes:
    """Everything that comes before the samples.

    Args:
        num_frames: samples per channel.
        sample_rate_hz: samples per second.
        num_channels: 1 or more; more than two use WAVE_FORMAT_EXTENSIBLE with the usual speaker positions.
        is_float: 32-bit float if true, else 24-bit integers.
    """
    width = 4 if is_float else 3
    data_bytes = num_frames * num_channels * width
    body = _format_chunk(sample_rate_hz, num_channels, width, is_float)
    if is_float:
        body += b"fact" + struct.pack("<II", 4, min(num_frames, 0xFFFF_FFFF))
    # Bytes after the 8 of the outer header: "WAVE", ds64 or JUNK (8 + 28), the chunks above, "data" and its size, samples, padding.
    riff_bytes = 4 + 36 + len(body) + 8 + data_bytes + data_bytes % 2
    if riff_bytes <= RIFF_LIMIT_BYTES:
        return (
            b"RIFF"
            + struct.pack("<I", riff_bytes)
            + b"WAVE"
            + b"JUNK"
            + struct.pack("<I", 28)
            + bytes(28)
            + body
            + b"data"
            + struct.pack("<I", data_bytes)
        )
    sizes = struct.pack("<IQQQI", 28, riff_bytes, data_bytes, num_frames, 0)
    return b"RF64" + struct.pack("<I", 0xFFFF_FFFF) + b"WAVE" + b"ds64" + sizes + body + b"data" + struct.pack("<I", 0xFFFF_FFFF)


def declared_frames(path: Path) -> int | None:
    """How many samples per channel the header of a wav file claims. FFmpeg says only how many are there, which hides a cut.

    None when it claims nothing usable: compressed samples, or a length left open by a program that wrote to a pipe.
    """
    frame_bytes, long_bytes = 0, None
    with open(path, "rb") as file:
        outer = file.read(12)
        if outer[:4] not in (b"RIFF", b"RF64") or outer[8:] != b"WAVE":
            return None
        while len(head := file.read(8)) == 8:
            name, size = head[:4], struct.unpack("<I", head[4:])[0]
            if name == b"data":
                claimed = long_bytes if long_bytes is not None else size if size < _OPEN_LENGTH_BYTES else 0
                return claimed // frame_bytes if frame_bytes and claimed else None
            body = file.read(min(size, 64))
            if name == b"fmt " and len(body) >= 16:
                tag, _, _, _, frame_bytes, _ = struct.unpack("<HHIIHH", body[:16])
                frame_bytes = frame_bytes if tag in (_PCM, _IEEE_FLOAT, _EXTENSIBLE) else 0
            elif name == b"ds64" and len(body) >= 16:
                long_bytes = struct.unpack("<Q", body[8:16])[0]
            file.seek(size - len(body) + size % 2, 1)
    return None


def quantize_int24(block: Float32[np.ndarray, "C n"]) -> np.ndarray:
    """Round to 24-bit integers in int32, [C, n]; +1.0 becomes the largest value, and nothing ever wraps (callers check the level)."""
    scaled = np.rint(block.astype(np.float64) * INT24_FULL_SCALE)
    return np.clip(scaled, -INT24_FULL_SCALE, INT24_FULL_SCALE - 1).astype(np.int32)


def wav_bytes(block: Float32[np.ndarray, "C n"], *, is_float: bool) -> bytes:
    """The samples of a block as they stand in the file: interleaved, little-endian."""
    if is_float:
        return np.ascontiguousarray(block.T, dtype="<f4").tobytes()
    values = np.ascontiguousarray(quantize_int24(block).T, dtype="<i4")
    return values.view(np.uint8).reshape(*values.shape, 4)[..., :3].tobytes()


def _format_chunk(sample_rate_hz: int, num_channels: int, width: int, is_float: bool) -> bytes:
    """The fmt chunk; the short form for one and two channels, which every reader knows."""
    tag = _IEEE_FLOAT if is_float else _PCM
    extended = num_channels > 2
    fields = struct.pack(
        "<HHIIHH",
        _EXTENSIBLE if extended else tag,
        num_channels,
        sample_rate_hz,
        sample_rate_hz * num_channels * width,
        num_channels * width,
        8 * width,
    )
    if extended:
        fields += struct.pack("<HHIH", 22, 8 * width, _SPEAKERS.get(num_channels, 0), tag) + _GUID_TAIL
    elif is_float:
        fields += struct.pack("<H", 0)
    return b"fmt " + struct.pack("<I", len(fields)) + fields
