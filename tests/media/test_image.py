"""Pictures out of every kind of file, upright and in RGB; their size changed, and through JPEG and back."""

import tracemalloc

import numpy as np
import pytest
from PIL import Image

from trisep.errors import MediaError
from trisep.media.image import decode_jpeg, encode_jpeg, read_image, resize_short_side


@pytest.fixture
def picture():
    """A smooth picture whose corners differ."""
    rows, columns = np.mgrid[0:40, 0:60]
    return np.stack([rows * 6, columns * 4, 255 - rows * 3], axis=2).astype(np.uint8)


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp", "gif", "jpg"])
def test_common_files(tmp_path, picture, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(picture).save(path, **({"lossless": True} if suffix == "webp" else {}))
    got = read_image(path)
    assert got.dtype == np.uint8
    assert got.shape == (40, 60, 3)
    assert np.abs(got.astype(int) - picture).mean() < (12 if suffix in ("gif", "jpg") else 0.01)


@pytest.mark.parametrize(("orientation", "quarter_turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_exif_orientation(tmp_path, picture, orientation, quarter_turns):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png"), np.rot90(picture, k=quarter_turns))


def test_transparency_lies_over_white(tmp_path):
    Image.fromarray(np.array([[[0, 0, 0, 0], [0, 0, 0, 255], [200, 0, 0, 128]]], np.uint8)).save(tmp_path / "rgba.png")
    assert read_image(tmp_path / "rgba.png").tolist() == [[[255, 255, 255], [0, 0, 0], [227, 127, 127]]]
    Image.fromarray(np.array([[[0, 0], [100, 255]]], np.uint8)).save(tmp_path / "la.png")
    assert read_image(tmp_path / "la.png").tolist() == [[[255, 255, 255], [100, 100, 100]]]
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 255, 0])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "p.png", transparency=0)
    assert read_image(tmp_path / "p.png").tolist() == [[[255, 255, 255], [0, 255, 0]]]


def test_sixteen_bits_and_other_modes(tmp_path):
    Image.fromarray(np.array([[0, 32896, 65535]], np.uint16)).save(tmp_path / "deep.png")
    assert read_image(tmp_path / "deep.png")[0, :, 0].tolist() == [0, 128, 255]
    Image.fromarray(np.array([[0.0, 0.5, 1.0, 7.0]], np.float32)).save(tmp_path / "float.tiff")
    assert read_image(tmp_path / "float.tiff")[0, :, 0].tolist() == [0, 128, 255, 255]
    Image.new("CMYK", (2, 2), (0, 255, 255, 0)).save(tmp_path / "cmyk.tiff")
    assert read_image(tmp_path / "cmyk.tiff")[0, 0].tolist() == [255, 0, 0]
    Image.new("1", (2, 2), 1).save(tmp_path / "bit.png")
    assert read_image(tmp_path / "bit.png")[0, 0].tolist() == [255, 255, 255]


def test_files_that_are_no_pictures(tmp_path, picture, monkeypatch):
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(MediaError, match=r"text\.png: is not a picture"):
        read_image(tmp_path / "text.png")
    with pytest.raises(MediaError, match="no such file"):
        read_image(tmp_path / "absent.png")
    with pytest.raises(MediaError, match="folder"):
        read_image(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg")
    (tmp_path / "half.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:2000])
    with pytest.raises(MediaError, match="damaged or cut off"):
        read_image(tmp_path / "half.jpg")
    for limit in (3000, 1000):
        # Pillow warns above its limit and refuses above twice its limit.
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(MediaError, match="more than [0-9]+ pixels"):
            read_image(tmp_path / "a.jpg")


def test_a_damaged_tiff_is_one_error_and_no_line_of_libtiff(tmp_path, capfd):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.tif", compression="tiff_lzw")
    damaged = bytearray((tmp_path / "a.tif").read_bytes())
    damaged[500:520] = b"\xff" * 20
    (tmp_path / "a.tif").write_bytes(damaged)
    with pytest.raises(MediaError, match="damaged or cut off"):
        read_image(tmp_path / "a.tif")
    assert capfd.readouterr().err == ""


def test_resize(picture):
    assert resize_short_side(picture, 20).shape == (20, 30, 3)
    assert resize_short_side(picture.transpose(1, 0, 2).copy(), 20).shape == (30, 20, 3)
    assert resize_short_side(picture, 80).shape == (80, 120, 3)
    assert resize_short_side(picture, 40) is picture
    # Antialiased: a fine chessboard becomes grey.
    board = np.repeat((np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)[:, :, None], 3, axis=2)
    assert np.abs(resize_short_side(board, 8).astype(int) - 127).max() < 3
    with pytest.raises(ValueError, match="short_side"):
        resize_short_side(picture, 0)


def test_jpeg(picture):
    data = encode_jpeg(picture)
    assert np.abs(decode_jpeg(data).astype(int) - picture).mean() < 2
    assert len(encode_jpeg(picture, quality=20)) < len(data)
    with pytest.raises(MediaError, match="not a JPEG"):
        decode_jpeg(b"not one")
    with pytest.raises(ValueError, match="quality"):
        encode_jpeg(picture, quality=0)


@pytest.mark.parametrize("size", [(2_000_000, 1), (1, 2_000_000)])
def test_a_strip_is_refused_before_it_is_decoded(tmp_path, size):
    Image.new("1", size).save(tmp_path / "strip.png")
    with pytest.raises(MediaError, match=rf"strip.png: the picture has {size[0]} × {size[1]} pixels, expected sides"):
        read_image(tmp_path / "strip.png")


def test_a_header_that_claims_gigabytes_takes_no_memory(tmp_path):
    path = tmp_path / "a.jp2"
    Image.new("RGB", (20, 20)).save(path)
    content = bytearray(path.read_bytes())
    place = content.index(b"jp2h") - 4
    content[place : place + 4] = (3 << 30).to_bytes(4, "big")
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(MediaError, match="a.jp2: "):
        read_image(path)
    assert tracemalloc.get_traced_memory()[1] < 100 << 20
    tracemalloc.stop()


def test_a_format_that_starts_a_program_is_no_picture(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.eps")
    with pytest.raises(MediaError, match=r"a.eps: is not a picture that can be read"):
        read_image(tmp_path / "a.eps")


def test_a_decoder_that_gives_up_is_one_error(tmp_path, picture, monkeypatch):
    # The decoder of AVIF raises RuntimeError for what it does not know.
    def give_up(image):
        raise RuntimeError("Failed to decode image: Not implemented")

    Image.fromarray(picture).save(tmp_path / "a.png")
    monkeypatch.setattr("trisep.media.image.ImageOps.exif_transpose", give_up)
    with pytest.raises(MediaError, match=r"a.png: the picture is damaged or cut off \(Failed to decode"):
        read_image(tmp_path / "a.png")
