"""Pictures of every common format and mode, with changed bytes."""

from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from benchmarks.fuzz.mutations import mutated_bytes
from trisep.media.image import encode_jpeg, read_image, resize_short_side

_MODES = {
    ".png": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    ".jpg": ("L", "RGB", "CMYK"),
    ".webp": ("RGB", "RGBA"),
    ".gif": ("L", "P"),
    ".bmp": ("1", "L", "RGB"),
    ".tiff": ("L", "RGB", "F", "I;16"),
    ".ppm": ("RGB",),
    ".tga": ("RGBA",),
    ".jp2": ("RGB",),
    ".avif": ("RGB",),
    ".ico": ("RGB",),
    ".eps": ("RGB",),
}


def prepare(folder: Path) -> None:
    """Write one picture for each format and mode; some with an orientation, several frames or compression."""
    pixels = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    for suffix, modes in _MODES.items():
        for mode in modes:
            if mode == "I;16":
                picture = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
            else:
                picture = Image.fromarray(pixels).convert(mode)
            path = folder / f"{mode.replace(';', '')}{suffix}"
            try:
                picture.save(path)
            except (OSError, KeyError, ValueError):
                path.unlink(missing_ok=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(folder / "turned.jpg", exif=exif, progressive=True)
    Image.fromarray(pixels).save(folder / "lzw.tiff", compression="tiff_lzw", exif=exif)
    frames = [Image.fromarray(np.roll(pixels, number, 0)) for number in range(3)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].save(folder / "moving.webp", save_all=True, append_images=frames[1:])
    frames[0].save(folder / "moving.png", save_all=True, append_images=frames[1:])


def attempt(generator: Random, examples: Path, folder: Path) -> None:
    """Read a picture, and scale and encode what was read."""
    example = generator.choice(sorted(examples.iterdir()))
    path = folder / example.name
    path.write_bytes(mutated_bytes(generator, example.read_bytes()))
    encode_jpeg(resize_short_side(read_image(path), 224))
