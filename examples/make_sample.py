"""Make the bundled sample: two photographs side by side, each with a recording of its own sound, and what keeps them
out of training.

Sources are two packages of Debian 12, unpacked but not installed (`apt-get download NAME`, `dpkg -x FILE FOLDER`):
`tuxpaint-stamps-default` and `gcompris-qt-data`. See SOURCES.md for authors and licences.

    python examples/make_sample.py --stamps FOLDER --gcompris FOLDER --out examples
"""

import argparse
import hashlib
import io
import json
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile  # type: ignore[import-untyped]
from PIL import Image

SAMPLE_RATE_HZ = 44_100
DURATION_SECONDS = 10.0
MIX_LEVEL_DBFS = -18.5
PANEL_PIXELS = 320
FRAMES_PER_SECOND = 8
FINGERPRINT_RATE_HZ = 8_000
STAMPS = "tuxpaint-stamps-default 2022.06.04-1"
GCOMPRIS = "gcompris-qt-data 3.1-2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """One piece of a recording (start and end in seconds) and the places where it is heard: (time in seconds, gain in
    dB).
    """

    start_seconds: float
    end_seconds: float
    places: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One half of the scene. Paths lie inside the package; `rcc` names the Qt resource file that holds them, if any.

    `views` are the square crops of the first and last frame as (centre x, centre y, side), in parts of the picture's
    height.
    """

    name: str
    package: str
    sound: str
    picture: str
    sound_rcc: str | None = None
    picture_rcc: str | None = None
    cuts: tuple[Cut, ...]
    views: tuple[tuple[float, float, float], tuple[float, float, float]]
    gains_left_right: tuple[float, float]
    picture_package: str


TRAINING_CLIPS = ["832bdfa1ca80358956e7c3f1b40b6262e64cba35f98a27cb0a55638d5f10b806"]
"""SHA-256 of clips of training sets that hold the recordings: soundmini's train/s01041.ogg is the trumpet. No clip of
avmini is one."""

DOG = Side(
    name="dog",
    package=GCOMPRIS,
    sound="gcompris/src/activities/explore_farm_animals/resource/animals/dog.ogg",
    sound_rcc="explore_farm_animals",
    picture_package=GCOMPRIS,
    picture="gcompris/src/activities/explore_farm_animals/resource/animals/dog.webp",
    picture_rcc="explore_farm_animals",
    cuts=(
        Cut(
            start_seconds=0.0,
            end_seconds=0.88,
            places=((0.45, 0.0), (2.35, -2.0), (3.45, 0.0), (5.25, -1.0), (7.0, 0.0), (7.95, -2.0)),
        ),
        Cut(start_seconds=0.53, end_seconds=0.88, places=((1.5, -1.0), (4.5, 0.0), (6.35, -1.5), (9.1, 0.0))),
    ),
    views=((0.70, 0.5, 0.98), (0.85, 0.46, 0.86)),
    gains_left_right=(0.85, 0.53),
)
TRUMPET = Side(
    name="trumpet",
    package=GCOMPRIS,
    sound="gcompris/src/activities/instruments/resource/trumpet.ogg",
    sound_rcc="instruments",
    picture_package=STAMPS,
    picture="usr/share/tuxpaint/stamps/hobbies/music/brass/trumpet.png",
    cuts=(
        Cut(start_seconds=0.0, end_seconds=5.66, places=((0.15, 0.0),)),
        Cut(start_seconds=0.0, end_seconds=3.56, places=((6.25, 0.0),)),
    ),
    views=((0.5, 0.5, 1.0), (0.49, 0.5, 0.9)),
    gains_left_right=(0.53, 0.85),
)


def read_resource(path: Path, wanted: str) -> bytes:
    """Read one file out of a Qt binary resource (.rcc, formats 1 to 3, plain or zlib). Raises KeyError where it holds
    no such file.
    """
    data = path.read_bytes()
    version, tree, contents, names = struct.unpack(">4I", data[4:20])
    entry_bytes = 22 if version >= 2 else 14

    def walk(index: int, parent: str) -> Iterator[tuple[str, int, int]]:
        offset = tree + index * entry_bytes
        name_offset, flags, first, second = struct.unpack(">IHII", data[offset : offset + 14])
        length = struct.unpack(">H", data[names + name_offset : names + name_offset + 2])[0]
        name = data[names + name_offset + 6 : names + name_offset + 6 + 2 * length].decode("utf-16-be") if index else ""
        full = f"{parent}/{name}".strip("/")
        if flags & 2:
            for child in range(second, second + first):
                yield from walk(child, full)
        else:
            yield full, flags, second

    for full, flags, start in walk(0, ""):
        if full == wanted:
            size = struct.unpack(">I", data[contents + start : contents + start + 4])[0]
            packed = data[contents + start + 4 : contents + start + 4 + size]
            return zlib.decompress(packed[4:]) if flags & 1 else packed
    raise KeyError(f"{path} holds no file '{wanted}'")


def read_source(folders: dict[str, Path], package: str, path: str, resource: str | None) -> bytes:
    """Return the original bytes of one sound or picture of an unpacked package."""
    if resource is None:
        return (folders[package] / path).read_bytes()
    return read_resource(folders[package] / "usr/share/gcompris-qt/rcc" / f"{resource}.rcc", path)


def decode_mono(data: bytes, rate_hz: int) -> np.ndarray:
    """float32 [S]: any sound FFmpeg knows, mixed to mono at `rate_hz`."""
    resampler = av.AudioResampler("fltp", "mono", rate_hz)
    with av.open(io.BytesIO(data), "r") as container:
        blocks = [block.to_ndarray()[0] for frame in container.decode(audio=0) for block in resampler.resample(frame)]
        blocks += [block.to_ndarray()[0] for block in resampler.resample(None)]
    return np.concatenate(blocks).astype(np.float32)


def high_passed(sound: np.ndarray, cutoff_hz: float = 60.0) -> np.ndarray:
    """Take out rumble: a raised-cosine edge half an octave wide below `cutoff_hz`, zero phase."""
    spectrum = np.fft.rfft(sound)
    octaves = np.log2(np.maximum(np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE_HZ), 1e-3) / cutoff_hz)
    return np.fft.irfft(spectrum * (0.5 - 0.5 * np.cos(np.pi * np.clip(2 * octaves + 1, 0, 1))), len(sound))


def arrange(side: Side, sound: np.ndarray) -> np.ndarray:
    """float64 [2, S]: the cuts of a mono recording at their places, faded over 5 ms in and 40 ms out,
    placed in stereo.
    """
    line = np.zeros(round(DURATION_SECONDS * SAMPLE_RATE_HZ))
    for cut in side.cuts:
        piece = sound[round(cut.start_seconds * SAMPLE_RATE_HZ) : round(cut.end_seconds * SAMPLE_RATE_HZ)].copy()
        for length, part in (
            (round(0.005 * SAMPLE_RATE_HZ), slice(None)),
            (round(0.040 * SAMPLE_RATE_HZ), slice(None, None, -1)),
        ):
            piece[part][:length] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(length) / length)
        for time_seconds, gain_db in cut.places:
            start = round(time_seconds * SAMPLE_RATE_HZ)
            room = line[start : start + len(piece)]
            room += piece[: len(room)] * 10 ** (gain_db / 20)
    return np.asarray(side.gains_left_right)[:, None] * line


def balance(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both stems at equal power, their sum at `MIX_LEVEL_DBFS` (RMS over all channels), on the 16-bit grid. Both
    float64 [2, S].
    """
    left, right = (stem / np.sqrt((stem**2).mean()) for stem in (left, right))
    gain = 10 ** (MIX_LEVEL_DBFS / 20) / np.sqrt(((left + right) ** 2).mean())
    left, right = (np.round(stem * gain * 2**15) / 2**15 for stem in (left, right))
    return left, right


def open_picture(data: bytes) -> Image.Image:
    """Read an RGB picture; a cut-out (alpha channel) is laid on a white square with a margin."""
    picture = Image.open(io.BytesIO(data))
    if picture.mode not in ("RGBA", "LA", "P"):
        return picture.convert("RGB")
    cut_out = picture.convert("RGBA")
    side = round(max(cut_out.size) * 1.1)
    square = Image.new("RGBA", (side, side), "white")
    square.alpha_composite(cut_out, ((side - cut_out.width) // 2, (side - cut_out.height) // 2))
    return square.convert("RGB")


def view(picture: Image.Image, side: Side, progress: float) -> Image.Image:
    """Cut out the square panel at `progress` 0..1 of the slow pan and zoom."""
    first, last = side.views
    x, y, size = (
        height * picture.height
        for height in ((1 - progress) * a + progress * b for a, b in zip(first, last, strict=True))
    )
    box = (x - size / 2, y - size / 2, x + size / 2, y + size / 2)
    return picture.resize((PANEL_PIXELS, PANEL_PIXELS), Image.Resampling.LANCZOS, box=box)


def write_video(path: Path, pictures: list[Image.Image], sides: list[Side], mixture: np.ndarray, title: str) -> None:
    """MP4: H.264 yuv420p panels side by side and 128 kb/s AAC of `mixture` [2, S]; moved into place when complete."""
    temporary = path.with_name(f".{path.name}")
    with av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        container.metadata.update(title=title, copyright="GPL-3.0-only, see SOURCES.md")
        video = container.add_stream(
            "libx264", rate=FRAMES_PER_SECOND, options={"crf": "21", "preset": "slow", "threads": "1"}
        )
        video.width, video.height, video.pix_fmt = 2 * PANEL_PIXELS, PANEL_PIXELS, "yuv420p"
        audio = container.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="stereo", bit_rate=128_000)
        count = round(DURATION_SECONDS * FRAMES_PER_SECOND)
        for index in range(count):
            canvas = np.concatenate(
                [view(p, s, index / (count - 1)) for p, s in zip(pictures, sides, strict=True)], axis=1
            )
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(canvas), format="rgb24")))
        container.mux(video.encode(None))
        for start in range(0, mixture.shape[1], 1024):
            block = np.ascontiguousarray(mixture[:, start : start + 1024], dtype=np.float32)
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE_HZ, start, Fraction(1, SAMPLE_RATE_HZ)
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    os.replace(temporary, path)


def sound_fingerprint(sound: np.ndarray) -> np.ndarray:
    """uint8 [T, 32] of 0 and 1: signs of the time-and-band differences of log energy (Haitsma & Kalker 2002), 32 ms
    apart.

    `sound` is mono float32 at 8 kHz. Windows of 2048 samples, 33 bands in equal ratios from 200 to 3600 Hz. Deviation
    from the paper: logarithm of energy, floored 60 dB below the loudest band. The same recording in another codec or
    level differs in few bits; unrelated sounds in about half. Compare by sliding one over the other and counting the
    share of differing bits.
    """
    frames = np.lib.stride_tricks.sliding_window_view(sound, 2048)[::256] * np.hanning(2048)
    power = np.abs(np.fft.rfft(frames)) ** 2
    edges = np.round(np.geomspace(200, 3600, 34) / FINGERPRINT_RATE_HZ * 2048).astype(int)
    bands = np.add.reduceat(power, edges, axis=1)[:, :33]
    across = np.diff(np.log(bands + 1e-6 * bands.max() + 1e-12), axis=1)
    rising: np.ndarray = across[1:] > across[:-1]
    return rising.astype(np.uint8)


def picture_fingerprint(picture: Image.Image) -> str:
    """64 hex digits: the 256-bit difference hash, bit = a pixel of the 17x16 grey picture is darker than its right
    neighbour.
    """
    grey = np.asarray(picture.convert("L").resize((17, 16), Image.Resampling.LANCZOS), dtype=np.int16)
    return np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes().hex()


def describe(folders: dict[str, Path], side: Side) -> list[dict[str, object]]:
    """Make the entries of excluded.json for the two original files of one side."""
    sound = read_source(folders, side.package, side.sound, side.sound_rcc)
    picture = read_source(folders, side.picture_package, side.picture, side.picture_rcc)
    bits = sound_fingerprint(decode_mono(sound, FINGERPRINT_RATE_HZ))
    return [
        {
            "kind": "sound",
            "package": side.package,
            "path": side.sound,
            "bytes": len(sound),
            "sha256": hashlib.sha256(sound).hexdigest(),
            "fingerprint": [np.packbits(row).tobytes().hex() for row in bits],
        },
        {
            "kind": "picture",
            "package": side.picture_package,
            "path": side.picture,
            "bytes": len(picture),
            "sha256": hashlib.sha256(picture).hexdigest(),
            "fingerprint": picture_fingerprint(open_picture(picture)),
        },
    ]


def make(folders: dict[str, Path], sides: list[Side], out: Path) -> None:
    """Write OUT/NAME.mp4, the two stems NAME_SIDE.flac (16 bit; their sum is the sound before AAC) and
    OUT/excluded.json.
    """
    name = "_and_".join(side.name for side in sides)
    out.mkdir(parents=True, exist_ok=True)
    sounds = [
        decode_mono(read_source(folders, side.package, side.sound, side.sound_rcc), SAMPLE_RATE_HZ) for side in sides
    ]
    stems = balance(*(arrange(side, high_passed(sound)) for side, sound in zip(sides, sounds, strict=True)))
    products = [out / f"{name}.mp4"] + [out / f"{name}_{side.name}.flac" for side in sides]
    for path, stem in zip(products[1:], stems, strict=True):
        temporary = path.with_name(f".{path.name}")
        soundfile.write(temporary, stem.T, SAMPLE_RATE_HZ, subtype="PCM_16", format="FLAC")
        os.replace(temporary, path)
    pictures = [
        open_picture(read_source(folders, side.picture_package, side.picture, side.picture_rcc)) for side in sides
    ]
    write_video(products[0], pictures, sides, stems[0] + stems[1], name.replace("_", " "))
    excluded = {
        "about": (
            "Originals of the bundled sample, and the sample itself: kept out of training. "
            "Fingerprints: see make_sample.py."
        ),
        "originals": [entry for side in sides for entry in describe(folders, side)],
        "sample": [{"path": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()} for path in products],
        "training_clips": TRAINING_CLIPS,
    }
    temporary = out / ".excluded.json"
    temporary.write_text(json.dumps(excluded, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, out / "excluded.json")


def main() -> None:
    """Read the folders from the command line and write the sample."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--stamps", type=Path, required=True, help="folder of the unpacked package tuxpaint-stamps-default"
    )
    parser.add_argument("--gcompris", type=Path, required=True, help="folder of the unpacked package gcompris-qt-data")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    arguments = parser.parse_args()
    for folder in (arguments.stamps, arguments.gcompris):
        if not folder.is_dir():
            parser.error(f"{folder}: no such folder; unpack the package there with dpkg -x")
    make({STAMPS: arguments.stamps, GCOMPRIS: arguments.gcompris}, [DOG, TRUMPET], arguments.out)


if __name__ == "__main__":
    main()
