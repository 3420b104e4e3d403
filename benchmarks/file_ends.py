"""How well the ends of a file are separated: its first and last 0.25 s beside the same stretch inside a longer file.

    python benchmarks/file_ends.py AVMINI [--model NAME] [--pairs 16]

Mixtures of the protocol `avmini` are cut to lengths that are no multiple of what the network takes, each source is
separated by its word alone, and the improvement of SI-SDR is taken over 0.25 s: at the end of the cut file, at the same
place of the file that goes on for 2 s, at the beginning, and at the same place of a file that begins earlier.
"""

import argparse
from collections import defaultdict
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from trisep.evaluation.sounds import mix
from trisep.metrics.scale_invariant import si_sdr
from trisep.protocols import protocol
from trisep.separation.options import SeparationOptions
from trisep.separation.separator import Separator, load
from trisep.types import Audio

LENGTHS = (250, 224, 192, 140)
"""In frames of the default model."""
PLACES = ("end", "end, inside", "beginning", "beginning, inside")
_STRETCH_SECONDS = 0.25
_EARLIER_FRAMES = 100
_LATER_FRAMES = 128
_QUIET = 1e-7
"""Sources below this mean square in the stretch say nothing of the separation."""


def improvements(
    separator: Separator, sources: np.ndarray, labels: list[str], file: slice, stretch: slice
) -> list[float]:
    """SI-SDR improvement in dB of each source over a stretch of a mixture of which only `file` is separated."""
    mixture = sources.sum(axis=0)
    audio = Audio(mixture[None, file], separator.signal.sample_rate_hz)
    stems = separator.separate(audio, labels, SeparationOptions(exclusive=False)).stems.values()
    values = []
    for source, stem in zip(sources, stems, strict=True):
        reference = source[stretch]
        if np.mean(reference**2) > _QUIET:
            estimate = stem.audio.samples[0, stretch.start - file.start : stretch.stop - file.start]
            before = si_sdr(reference=reference, estimate=mixture[stretch])
            values.append(float(si_sdr(reference=reference, estimate=estimate) - before))
    return [value for value in values if np.isfinite(value)]


def measure(separator: Separator, data: Path, num_pairs: int) -> dict[tuple[str, int], list[float]]:
    """The improvements by place and length."""
    signal = separator.signal
    hop, width = signal.hop_samples, round(_STRETCH_SECONDS * signal.sample_rate_hz)
    early = _EARLIER_FRAMES * hop + 11
    found: dict[tuple[str, int], list[float]] = defaultdict(list)
    for mixture in islice(protocol("avmini").pairs(data, 0), num_pairs):
        sources = mix(mixture.sources, -20.0, signal.sample_rate_hz)
        labels = [source.label for source in mixture.sources]
        for length in LENGTHS:
            end = (length - 1) * hop + 37
            cuts = {
                "end": (slice(0, end), slice(end - width, end)),
                "end, inside": (slice(0, end + _LATER_FRAMES * hop), slice(end - width, end)),
                "beginning": (slice(early, early + end), slice(early, early + width)),
                "beginning, inside": (slice(0, early + end), slice(early, early + width)),
            }
            for place, (file, stretch) in cuts.items():
                found[place, length] += improvements(separator, sources, labels, file, stretch)
    return found


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of avmini")
    parser.add_argument("--model", default="default", help="name or folder of a model (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=16, help="mixtures (default: %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = measure(load(arguments.model, device="cpu"), arguments.data, arguments.pairs)
    print(f"| SI-SDRi in dB over 0.25 s | {' | '.join(f'{length} frames' for length in LENGTHS)} |")
    print("|---|" + "---|" * len(LENGTHS))
    for place in PLACES:
        cells = [f"{np.mean(found[place, length]):+.2f} ({len(found[place, length])})" for length in LENGTHS]
        print(f"| {place} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
