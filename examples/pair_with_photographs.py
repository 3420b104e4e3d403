"""Put recordings and photographs of the same kind of thing together to videos: material for what learns from pictures.

Two tables say what there is, `path,label` each: sounds, and pictures (photographs, or videos, of which one frame
is taken). Each sound whose label has pictures becomes a video of 224 x 224 with one of them, cropped and mirrored at
random; sounds without a picture are counted and left out. The videos' names say nothing. Their labels have chosen the
pictures, as in any set that is put together from sounds and photographs: say so where they are used.

    python examples/pair_with_photographs.py --sounds sounds.csv --pictures pictures.csv --out videos
"""

import argparse
import sys
import zlib
from collections import defaultdict
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageOps

from trisep.errors import TrisepError
from trisep.media.tables import read_rows

SIDE, FPS = 224, 2


def read_table(path: Path) -> list[tuple[Path, str]]:
    """Return (file, label) of a table; paths are relative to its folder."""
    return [(path.parent / row["path"], row["label"]) for row in read_rows(path, ("path", "label"))]


def picture(path: Path, random: np.random.Generator) -> Image.Image:
    """Return a photograph, or the middle frame of a video, cropped to a random square of 80 % or more and mirrored."""
    try:
        image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    except OSError:
        with av.open(str(path)) as video:
            frames = [frame.to_image() for frame in video.decode(video=0)]
        image = frames[len(frames) // 2].convert("RGB")
    side = int(min(image.size) * random.uniform(0.8, 1.0))
    left, top = (int(random.integers(length - side + 1)) for length in image.size)
    image = image.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return ImageOps.mirror(image) if random.random() < 0.5 else image


def write_video(sound: Path, image: Image.Image, path: Path) -> None:
    """Write a video of one picture with all of the sound, lossless, mono at the sound's own rate."""
    with av.open(str(sound)) as source, av.open(str(path), "w") as target:
        frames = list(source.decode(audio=0))
        rate = frames[0].sample_rate
        video, audio = target.add_stream("mjpeg", rate=FPS), target.add_stream("flac", rate=rate, layout="mono")
        video.width, video.height, video.pix_fmt = SIDE, SIDE, "yuvj420p"
        seconds = sum(frame.samples for frame in frames) / rate
        for number in range(max(1, int(np.ceil(seconds * FPS)))):
            frame = av.VideoFrame.from_image(image)
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            target.mux(video.encode(frame))
        resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
        for piece in [*frames, None]:
            for frame in resampler.resample(piece):
                target.mux(audio.encode(frame))
        target.mux(audio.encode(None))
        target.mux(video.encode(None))


def main() -> None:
    """Write a video for each sound that has a picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sounds", type=Path, required=True, help="table path,label of recordings")
    parser.add_argument("--pictures", type=Path, required=True, help="table path,label of photographs or videos")
    parser.add_argument("--out", type=Path, required=True, help="folder for the videos")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        sounds, photographs = read_table(options.sounds), read_table(options.pictures)
    except TrisepError as error:
        parser.error(str(error))
    options.out.mkdir(parents=True, exist_ok=True)
    pictures = defaultdict[str, list[Path]](list)
    for path, label in photographs:
        pictures[label].append(path)
    written, without, unreadable = 0, 0, 0
    for sound, label in sounds:
        if not pictures[label]:
            without += 1
            continue
        key = zlib.crc32(str(sound).encode())
        random = np.random.default_rng((options.seed, key))
        chosen = pictures[label][int(random.integers(len(pictures[label])))]
        target = options.out / f"p{key:08x}.mkv"
        part = target.with_suffix(".part.mkv")
        try:
            if not target.exists():
                write_video(sound, picture(chosen, random), part)
                part.rename(target)
        except (OSError, IndexError, av.FFmpegError) as error:  # IndexError: a file without sound or picture
            part.unlink(missing_ok=True)
            print(f"left out: {sound} with {chosen}: {error}", file=sys.stderr)
            unreadable += 1
        else:
            written += 1
    print(f"{written} videos; {without} sounds have no picture of their label; {unreadable} cannot be read")


if __name__ == "__main__":
    main()
