"""How well other ways to ask do beside words: an example, a span, a negative, and two sounds in one stem.

    python benchmarks/asking.py DATA [--set avmini] [--model NAME] [--mixtures 40] [--pairs]

Mixtures of clips of the half of `dev` that choices are made on, at equal level. Of two clips the first is asked for by
its word, by another recording of its label (`--like`), by the second in which it is heard alone, and by its word in the
same mixture (`--when`: the other clip begins a second late). Of three clips the first is asked for alone and with the
others as negatives (`--not`), and the first two by "A and B", also with the third as a negative. Each figure is the
mean improvement of SI-SDR over the mixture, in dB.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from trisep.evaluation.sounds import mix
from trisep.metrics.scale_invariant import si_sdr
from trisep.protocols import ProtocolSource
from trisep.protocols.clip_lists import read_clips
from trisep.separation.options import SeparationOptions
from trisep.separation.separator import Separator, load
from trisep.types import Audio, Query


def different(clips: list[ProtocolSource], number: int, generator: np.random.Generator) -> list[ProtocolSource]:
    """Draw clips of different labels, the first of a label with another clip."""
    while True:
        drawn = [clips[index] for index in generator.choice(len(clips), number, replace=False)]
        partners = [clip for clip in clips if clip.label == drawn[0].label and clip is not drawn[0]]
        if len({clip.label for clip in drawn}) == number and partners:
            return [*drawn, partners[generator.integers(len(partners))]]


def improvement(
    separator: Separator, sources: np.ndarray, wanted: np.ndarray, query: Query, negatives: tuple[str, ...] = ()
) -> float:
    """SI-SDR improvement in dB of what a query gives of a mixture."""
    mixture = sources.sum(axis=0)
    options = SeparationOptions(negatives=negatives)
    separation = separator.separate(Audio(mixture[None], separator.signal.sample_rate_hz), [query], options)
    estimate = separation.stems[query.name].audio.samples[0]
    return float(si_sdr(reference=wanted, estimate=estimate) - si_sdr(reference=wanted, estimate=mixture))


def measure(
    separator: Separator, clips: list[ProtocolSource], num_mixtures: int, *, pairs: bool
) -> dict[str, list[float]]:
    """The improvements by way to ask; of mixtures of two alone where `pairs` is true."""
    rate, found = separator.signal.sample_rate_hz, defaultdict(list)
    generator = np.random.default_rng(0)
    for _ in range(num_mixtures):
        first, second, example = different(clips, 2, generator)
        pair, (like, _) = mix((first, second), -20.0, rate), mix((example, second), -20.0, rate)
        word = Query("word", text=first.label)
        found["word"].append(improvement(separator, pair, pair[0], word))
        example_query = Query("like", sound=Audio(like[None], rate))
        found["--like"].append(improvement(separator, pair, pair[0], example_query))
        pair[1, :rate] = 0.0
        found["word, one second alone"].append(improvement(separator, pair, pair[0], word))
        found["--when, one second alone"].append(improvement(separator, pair, pair[0], Query("w", span=(0.0, 1.0))))
        drawn = different(clips, 3, generator)[:3]
        if pairs:
            continue
        three, (a, b, c) = mix(drawn, -20.0, rate), (clip.label for clip in drawn)
        both = three[0] + three[1]
        word, parts = Query("word", text=a), (Query(a, text=a), Query(b, text=b))
        found["one of three"].append(improvement(separator, three, three[0], word))
        found["one of three, --not the others"].append(improvement(separator, three, three[0], word, (b, c)))
        found["two of three, A and B"].append(improvement(separator, three, both, Query("w", parts=parts)))
        found["two of three, --not C"].append(improvement(separator, three, both, Query("w", parts=parts), (c,)))
    return found


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of avmini, soundmini and solomini")
    parser.add_argument("--set", default="avmini", help="which of them (default: %(default)s)")
    parser.add_argument("--model", default="default", help="name or folder of a model (default: %(default)s)")
    parser.add_argument("--mixtures", type=int, default=40, help="mixtures (default: %(default)s)")
    parser.add_argument("--pairs", action="store_true", help="leave mixtures of three out")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    clips = read_clips(arguments.data / arguments.set, {"dev"}, half="choosing", group=arguments.set)
    found = measure(load(arguments.model, device="cpu"), clips, arguments.mixtures, pairs=arguments.pairs)
    print("| way to ask | mean SI-SDRi in dB | standard error |\n|---|---|---|")
    for name, values in found.items():
        print(f"| {name} | {np.mean(values):+.2f} | {np.std(values) / np.sqrt(len(values)):.2f} |")


if __name__ == "__main__":
    main()
