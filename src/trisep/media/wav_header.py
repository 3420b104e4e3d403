"""What the header of a wav file declares, where FFmpeg does not tell it, or tells it too late.

This file reads no samples.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

PCM, IEEE_FLOAT, EXTENSIBLE = 0x0001, 0x0003, 0xFFFE
_OPEN_LENGTH_BYTES = 0x7FFF_F000
"""Programs that write to a pipe put this or more in the place of the length."""


def declared_frames(path: Path) -> int | None:
    """Read the number of samples per channel that the header of a wav file declares.

    FFmpeg gives only the number that is present, which hides a file that was cut off. None means that the header
    declares nothing usable: compressed samples, or a length left open by a program that wrote to a pipe.
    """
    frame_bytes, long_bytes = 0, None
    for name, size, body in _chunks(path):
        if name == b"data":
            claimed = long_bytes if long_bytes is not None else size if size < _OPEN_LENGTH_BYTES else 0
            return claimed // frame_bytes if frame_bytes and claimed else None
        if name == b"fmt " and len(body) >= 16:
            tag, _, _, _, frame_bytes, _ = struct.unpack("<HHIIHH", body[:16])
            frame_bytes = frame_bytes if tag in (PCM, IEEE_FLOAT, EXTENSIBLE) else 0
        elif name == b"ds64" and len(body) >= 16:
            long_bytes = struct.unpack("<Q", body[8:16])[0]
    return None


def declared_rate_hz(path: Path) -> int | None:
    """Read the rate that the header of a wav file declares; None where there is no such header."""
    for name, _, body in _chunks(path):
        if name == b"fmt " and len(body) >= 16:
            return int.from_bytes(body[4:8], "little")
        if name == b"data":
            break
    return None


def _chunks(path: Path) -> Iterator[tuple[bytes, int, bytes]]:
    """Yield name, declared size and the first 64 bytes of each chunk of a wav file; nothing of any other file."""
    with open(path, "rb") as file:
        outer = file.read(12)
        if outer[:4] not in (b"RIFF", b"RF64") or outer[8:] != b"WAVE":
            return
        while len(head := file.read(8)) == 8:
            name, size = head[:4], int.from_bytes(head[4:], "little")
            body = file.read(min(size, 64))
            yield name, size, body
            file.seek(size - len(body) + size % 2, 1)
