"""The main job on the bundled sample: separate a video by two text queries, score against the known sources, draw a
picture.

    python examples/demo.py [--out demo-output]
"""

import argparse
from pathlib import Path

import numpy as np

import trisep
from trisep.figures.separation import draw_separation
from trisep.media.audio import read_audio
from trisep.media.probe import probe
from trisep.media.video import read_frames
from trisep.metrics import score_separation

_FOLDER = Path(__file__).parent
_SAMPLE = _FOLDER / "dog_and_trumpet.mp4"
_QUERIES = {"dog barking": "dog_and_trumpet_dog.flac", "trumpet": "dog_and_trumpet_trumpet.flac"}
"""Each query, and the recording that stands in the sample's mixture."""


def main() -> None:
    """Separate, score, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("demo-output"))
    out: Path = parser.parse_args().out

    separator = trisep.load("default")
    report = separator.separate_to_files(_SAMPLE, list(_QUERIES), out)

    rate = separator.signal.sample_rate_hz
    sounds = {"mixture": mono(_SAMPLE, rate)}
    sounds |= {stem["query"]: mono(out / stem["file"], rate) for stem in report["stems"]}
    sounds["residual"] = mono(out / report["residual"], rate)
    references = np.stack([mono(_FOLDER / file, rate) for file in _QUERIES.values()])
    length = references.shape[1]
    estimates = np.stack([sounds[query][:length] for query in _QUERIES])
    print(f"{_SAMPLE.name}: {', '.join(_QUERIES)} → {out}/")
    for query, score in zip(
        _QUERIES,
        score_separation(references=references, estimates=estimates, mixture=sounds["mixture"][:length]),
        strict=True,
    ):
        if score.scores is None:
            print(f"  {query:12s} not scored: {score.skipped}")
        else:
            print(
                f"  {query:12s} improvement over the mixture: SDR {score.scores.sdri:+.1f} dB, SI-SDR "
                f"{score.scores.si_sdri:+.1f} dB"
            )

    centre = probe(_SAMPLE).duration_seconds / 2
    draw_separation(sounds, out / "separation.png", signal=separator.signal, frame=read_frames(_SAMPLE, [centre])[0])
    print(f"  picture: {out / 'separation.png'}")


def mono(path: Path, sample_rate_hz: int) -> np.ndarray:
    """A file's sound at the model's rate, float32 [samples]."""
    return read_audio(path, sample_rate_hz=sample_rate_hz, mono=True).samples[0]


if __name__ == "__main__":
    main()
