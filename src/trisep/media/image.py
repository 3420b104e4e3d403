"""Reading, scaling and JPEG coding of pictures. Every picture is uint8 RGB, [H, W, 3]. This file knows no video."""

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from trisep.errors import MediaError
from trisep.media.bounds import LARGEST_PICTURE_BYTES, LARGEST_PIXELS, require_picture
from trisep.media.probe import check_readable

_FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP") + (
    ("AVIF",) if find_spec("PIL.AvifImagePlugin") else ()
)
"""Formats that are read, by Pillow's names: none of them starts another program, as EPS does."""
_WIDE_MODES = frozenset({"I", "F", "I;16", "I;16L", "I;16B", "I;16N"})


def read_image(path: Path) -> UInt8[np.ndarray, "H W 3"]:
    """Read a picture upright (EXIF orientation applied), transparency laid over white, 16-bit greys scaled to 8.

    Of an animation the first frame is taken.

    Raises MediaError when the file is missing, not a picture, damaged, larger than Pillow's limit of about 89 million
    pixels, or more than a hundred times as long as wide.
    """
    path = Path(path)
    check_readable(path)
    if path.stat().st_size > LARGEST_PICTURE_BYTES:
        raise MediaError(f"{path}: the picture file is larger than {LARGEST_PICTURE_BYTES >> 20} MiB; shrink it first")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
            # From memory: of a file, Pillow reads as much at once as a header claims, which may be gigabytes.
            with Image.open(io.BytesIO(path.read_bytes()), formats=_FORMATS) as opened:
                require_picture(path, *opened.size)
                with _silent_libtiff() if opened.format == "TIFF" else nullcontext():
                    return _rgb(ImageOps.exif_transpose(opened))
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise MediaError(f"{path}: the picture has more than {LARGEST_PIXELS} pixels; shrink it first") from error
    except UnidentifiedImageError as error:
        raise MediaError(
            f"{path}: is not a picture that can be read; give a JPEG, PNG, WebP or another common picture file"
        ) from error
    # RuntimeError is what the decoder of AVIF raises.
    except (OSError, ValueError, SyntaxError, EOFError, RuntimeError) as error:
        raise MediaError(
            f"{path}: the picture is damaged or cut off ({str(error) or type(error).__name__}); get a complete copy"
        ) from error


@contextmanager
def _silent_libtiff() -> Iterator[None]:
    """Keep what libtiff writes about damage from stderr, where a line of ours follows; no other way is open to us."""
    try:
        kept = os.dup(2)
    except OSError:
        yield
        return
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


def resize_short_side(image: UInt8[np.ndarray, "H W 3"], short_side: int) -> UInt8[np.ndarray, "H2 W2 3"]:
    """Scale a picture, up or down, so that its shorter side has `short_side` pixels (bicubic, antialiased).

    The aspect ratio is kept.
    """
    height, width = short_side_size(image.shape[0], image.shape[1], short_side)
    if (height, width) == image.shape[:2]:
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC), dtype=np.uint8)


def short_side_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Scale (height, width) so that the smaller one is `short_side`. ValueError when it is not positive."""
    if short_side < 1:
        raise ValueError(f"short_side must be positive, not {short_side}")
    if height <= width:
        return short_side, max(short_side, round(width * short_side / height))
    return max(short_side, round(height * short_side / width)), short_side


def encode_jpeg(image: UInt8[np.ndarray, "H W 3"], quality: int = 95) -> bytes:
    """Encode a picture as JPEG; quality is from 1 to 100."""
    if not 1 <= quality <= 100:
        raise ValueError(f"quality must be from 1 to 100, not {quality}")
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=quality)
    return buffer.getvalue()


def decode_jpeg(data: bytes) -> UInt8[np.ndarray, "H W 3"]:
    """Decode a JPEG; MediaError when the bytes are not one."""
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as opened:
            return np.asarray(opened.convert("RGB"), dtype=np.uint8)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise MediaError(
            f"these {len(data)} bytes are not a JPEG picture ({str(error) or type(error).__name__}); prepare the clip "
            "again"
        ) from error


def _rgb(image: Image.Image) -> UInt8[np.ndarray, "H W 3"]:
    """Convert a picture of any Pillow mode to eight-bit RGB."""
    if image.mode in _WIDE_MODES:
        grey = _eight_bit(np.asarray(image))
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        white = Image.new("RGBA", layered.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, layered)
    return np.asarray(image.convert("RGB"), dtype=np.uint8).copy()


def _eight_bit(grey: np.ndarray) -> UInt8[np.ndarray, "H W"]:
    """Scale grey values of 16 or more bits, or floats in [0, 1], to bytes."""
    if grey.dtype.kind == "f":
        scaled = np.nan_to_num(grey) * 255.0
    else:
        scaled = grey.astype(np.float64) * (255.0 / 65535.0)
    rounded: np.ndarray = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return rounded
