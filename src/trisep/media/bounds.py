"""The limits of what is decoded, in one place: beyond them a file is damaged, or made to fill the memory."""

import ctypes
from pathlib import Path

import av

from trisep.errors import MediaError

LOWEST_RATE_HZ = 50
"""FFmpeg cuts uncompressed sound into packets of a tenth of a second: of a low rate, one for each sample."""
HIGHEST_RATE_HZ = 768_000
MOST_CHANNELS = 64
HIGHEST_PEAK = 1e10
"""Times full scale: integers of 32 bits taken for floats stay below; the square of much more is no float32."""
LONGEST_HOLE_SECONDS = 600.0
"""A longer hole is an error: one flipped bit of a time stamp would otherwise fill memory and disk with silence."""
LATEST_SECONDS = 1e9
"""No recording reaches so far, 31 years; a later time is not to be found in a file, and fits no time stamp."""
LEAST_BYTES_PER_SECOND = 500
"""A file that declares to be longer than its size allows at 4 kbit/s is not believed when room is reckoned."""
LARGEST_PIXELS = 89_478_485
"""Of a picture or a frame: Pillow's limit, a quarter of a GiB in RGB."""
LARGEST_PICTURE_BYTES = 1 << 30
"""Of a picture's file, which is more than an uncompressed one of the most pixels, 16 bits and transparency takes."""
LARGEST_BLOCK_BYTES = 8 * LARGEST_PIXELS + (64 << 20)
"""What FFmpeg may take at once: a frame of the most pixels with four values of 16 bits, and its padding."""
LARGEST_ASPECT = 100
"""A picture is at most so many times as long as wide: scaled to a short side it would fill the memory."""
PIXEL_ASPECTS = (1 / 16, 16.0)
"""Shapes of pixels that occur; others are taken as square."""


def limit_ffmpeg() -> bool:
    """Keep FFmpeg from taking more than `LARGEST_BLOCK_BYTES` at once in this process; it believes a chunk of a header
    that claims up to 2 GiB, whatever the size of the file.

    Returns whether the limit is set: PyAV has no name for it, so it needs the libraries that PyAV's wheels bring.
    """
    package = Path(av.__file__).parent
    for folder in (package.parent / "av.libs", package / ".dylibs"):
        for file in folder.glob("*avutil*"):
            ctypes.CDLL(str(file)).av_max_alloc(ctypes.c_size_t(LARGEST_BLOCK_BYTES))
            return True
    return False


def require_sound(path: Path, sample_rate_hz: int, num_channels: int) -> None:
    """Raise MediaError for a rate or a number of channels that no recording has."""
    require_rate(path, sample_rate_hz)
    if num_channels > MOST_CHANNELS:
        raise MediaError(
            f"{path}: its sound has {num_channels} channels, expected at most {MOST_CHANNELS}; take some of them first"
        )


def require_rate(path: Path, sample_rate_hz: int) -> None:
    """Raise MediaError for a rate that no recording has; zero stands for one that is not known yet."""
    if sample_rate_hz and not LOWEST_RATE_HZ <= sample_rate_hz <= HIGHEST_RATE_HZ:
        expected = f"expected from {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ}"
        raise MediaError(
            f"{path}: its sound has {sample_rate_hz} samples a second, {expected}; it is damaged: convert it to a "
            "usual rate first"
        )


def require_picture(path: Path, width: int, height: int) -> None:
    """Raise MediaError for a picture or frame that is too large or too long to be read."""
    if max(width, height) > LARGEST_ASPECT * min(width, height):
        raise MediaError(
            f"{path}: the picture has {width} × {height} pixels, expected sides of at most 1:{LARGEST_ASPECT}; crop it "
            "first"
        )
    if width * height > LARGEST_PIXELS:
        raise MediaError(f"{path}: the picture has more than {LARGEST_PIXELS} pixels; shrink it first")
