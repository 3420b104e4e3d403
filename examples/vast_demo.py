"""VAST's demonstration (Appendix H) on a video: per query the separated sound, then its heat map on the centre frame.

    python examples/vast_demo.py [VIDEO QUERY QUERY…] [--out demo-output] [--model vast]

It writes a sound and a heat map for each query, `demo.png`, which shows them in the paper's order, and `demo.mp4`,
which plays them: the video with its mixture, then for each query the video with the separated sound and the centre
frame with the heat map of that sound. Without a video it takes the bundled sample. The model must embed sounds where
its encoder embeds pictures, as VAST does.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

import trisep
from trisep.errors import TrisepError
from trisep.figures.demo import Shown, draw_demo
from trisep.figures.localization import HeatOverlay
from trisep.media.audio import read_audio
from trisep.media.files import replacing
from trisep.media.probe import probe
from trisep.media.video import read_frames, stream_frames, write_video
from trisep.separation.localize import centre_seconds, localize
from trisep.separation.separator import Separator
from trisep.types import Audio

_SAMPLE = Path(__file__).parent / "dog_and_trumpet.mp4"
_QUERIES = ("dog barking", "trumpet")
_STILL_SECONDS = 2.0


def main() -> int:
    """Separate, localise, write; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path, nargs="?", default=_SAMPLE)
    parser.add_argument("queries", nargs="*", default=list(_QUERIES), help="the sounds, in words")
    parser.add_argument("--out", type=Path, default=Path("demo-output"))
    parser.add_argument("--model", default="vast")
    arguments = parser.parse_args()
    try:
        demonstrate(arguments.video, arguments.queries, arguments.out, arguments.model)
    except TrisepError as error:
        print(f"vast_demo: {error}", file=sys.stderr)
        return 2
    return 0


def demonstrate(video: Path, queries: Sequence[str], out: Path, model: str) -> None:
    """Write everything of a video and its queries into a folder, which is made."""
    separator = trisep.load(model)
    heats = heat_pictures(separator, video, queries)
    files = [out / stem["file"] for stem in separator.separate_to_files(video, list(queries), out)["stems"]]
    centre = read_frames(video, [centre_seconds(video)])[0]
    shown = [Shown(title="mixture", sound=mono(video, separator), picture=centre)]
    for query, file, heat in zip(queries, files, heats, strict=True):
        shown.append(Shown(title=query, sound=mono(file, separator), picture=heat))
        with replacing(file.with_suffix(".png")) as temporary:
            Image.fromarray(heat).save(temporary, format="png")
    draw_demo(shown, out / "demo.png", signal=separator.signal)
    parts = [(read_audio(file), heat) for file, heat in zip(files, heats, strict=True)]
    write_demo(video, read_audio(video), parts, out / "demo.mp4")
    print(f"{video.name}: {', '.join(queries)} → {out / 'demo.mp4'}, {out / 'demo.png'}")


def heat_pictures(separator: Separator, video: Path, queries: Sequence[str]) -> list[np.ndarray]:
    """The centre frame with the heat map of each separated sound, [H, W, 3]."""
    time_seconds = centre_seconds(video)
    frame = read_frames(video, [time_seconds])[0]
    found = localize(video, queries, by="audio", model=separator)
    return [HeatOverlay([one]).draw(frame, time_seconds) for one in found]


def write_demo(video: Path, mixture: Audio, parts: Sequence[tuple[Audio, np.ndarray]], file: Path) -> None:
    """Write the video with its mixture, then with each sound, each followed by its heat map for two seconds."""
    fps = min(probe(video).video[0].fps or 25.0, 60.0)
    num_still = round(_STILL_SECONDS * fps)

    def frames() -> Iterator[np.ndarray]:
        """All pictures in their order."""
        for number in range(len(parts) + 1):
            yield from (frame for _, frame in stream_frames(video, fps=fps))
            for _ in range(num_still if number else 0):
                yield parts[number - 1][1]

    num_frames = sum(1 for _ in stream_frames(video, fps=fps))
    rate, length = mixture.sample_rate_hz, round(num_frames / fps * mixture.sample_rate_hz)
    still = np.zeros((mixture.samples.shape[0], round(num_still / fps * rate)), np.float32)
    sounds = [fitted(mixture.samples, length)]
    for stem, _ in parts:
        sounds += [fitted(stem.samples, length), still]
    write_video(file, frames(), fps=fps, audio=Audio(np.concatenate(sounds, axis=1), rate))


def fitted(samples: np.ndarray, length: int) -> np.ndarray:
    """The samples [C, S] cut, or filled with zeros, to a length."""
    return np.pad(samples[:, :length], ((0, 0), (0, max(0, length - samples.shape[1]))))


def mono(path: Path, separator: Separator) -> np.ndarray:
    """The sound of a file as the model hears it: one channel at its rate, [S]."""
    samples: np.ndarray = read_audio(path, sample_rate_hz=separator.signal.sample_rate_hz, mono=True).samples[0]
    return samples


if __name__ == "__main__":
    sys.exit(main())
