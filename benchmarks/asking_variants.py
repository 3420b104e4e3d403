"""Which words of a sound stand for it, when a sound is the query: other choices beside the one that `--like` makes.

    python benchmarks/asking_variants.py DATA [--model NAME] [--mixtures 10]

Mixtures of 4 s of two clips at equal level, in turn from the choosing halves of avmini, soundmini and solomini, as in
benchmarks/asking.py: by another recording of the label (`like`) and by the first second, in which it is alone (`when`).
`shared` ranks a hundred words by the energy that each takes when all share the sound out, `alone` by what each takes as
if it were the only one; `max` joins the masks of the words instead of averaging their vectors. `tried on the mixture`
is the choice that is made. Improvements of SI-SDR in dB, and their difference to the choice before it, with standard
errors.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from asking import different
from torch import Tensor

from trisep.encoders import encode_query_text
from trisep.evaluation.sounds import mix
from trisep.metrics.scale_invariant import si_sdr
from trisep.protocols.clip_lists import read_clips
from trisep.separation.examples import candidates, parts_taken, vector_tried, word_vectors
from trisep.separation.separator import Separator, load
from trisep.spectrogram.masks import apply_masks, exclusive_masks
from trisep.spectrogram.stft import stft

SETS = ("avmini", "soundmini", "solomini")
BEFORE = "top 3 alone"
Found = dict[str, list[float]]


def gain(separator: Separator, mixture: np.ndarray, wanted: np.ndarray, mask: Tensor) -> float:
    """SI-SDR improvement in dB of a mask."""
    spectrum = stft(torch.from_numpy(mixture)[None], separator.signal)
    estimate = apply_masks(spectrum, mask[None, None], separator.signal, len(mixture))[0, 0].numpy()
    return float(si_sdr(reference=wanted, estimate=estimate) - si_sdr(reference=wanted, estimate=mixture))


def weighted(shares: Tensor, number: int, vectors: Tensor) -> Tensor:
    """Mean of the vectors with the largest shares, weighted by these."""
    most = shares.topk(number)
    return (most.values / most.values.sum()) @ vectors[most.indices]


def try_all(separator: Separator, sound: np.ndarray, pair: np.ndarray, word: Tensor, way: str, found: Found) -> None:
    """Ask for the first of a pair by a sound, with the words chosen in each way."""
    words, mixture = word_vectors(separator.encoder), pair.sum(axis=0)
    heard = separator._hear(sound, words)
    rankings = {
        "alone": parts_taken(heard.masks.float(), heard.magnitude.float()),
        "shared": parts_taken(exclusive_masks(heard.masks.float()[None])[0], heard.magnitude.float()),
    }
    tower, hear, signal = separator.encoder.sounds, separator._hear, separator.signal
    tried = vector_tried(candidates(sound, separator.encoder, tower, hear, signal), mixture, tower, hear, signal)
    asked = {"the word": word, "tried on the mixture": tried}
    for ranking, shares in rankings.items():
        asked |= {f"top {number} {ranking}": weighted(shares, number, words) for number in (1, 2, 3, 5)}
    most = [words[shares.topk(3).indices] for shares in rankings.values()]
    masks = separator._hear(mixture, torch.cat([torch.stack(list(asked.values())), *most])).masks.float()
    for name, mask in zip(asked, masks, strict=False):
        found[f"{way}, {name}"].append(gain(separator, mixture, pair[0], mask))
    for at, ranking in enumerate(rankings):
        three = masks[len(asked) + 3 * at :][:3]
        found[f"{way}, top 3 {ranking}, max"].append(gain(separator, mixture, pair[0], three.max(dim=0).values))


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of avmini, soundmini and solomini")
    parser.add_argument("--model", default="default", help="name or folder of a model (default: %(default)s)")
    parser.add_argument("--mixtures", type=int, default=10, help="mixtures (default: %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    separator, found = load(arguments.model, device="cpu"), defaultdict(list)
    rate, generator = separator.signal.sample_rate_hz, np.random.default_rng(1)
    clips = [read_clips(arguments.data / name, {"dev"}, half="choosing", group=name) for name in SETS]
    for number in range(arguments.mixtures):
        first, second, example = different(clips[number % len(SETS)], 2, generator)
        pair = mix((first, second), -20.0, rate)[:, : 4 * rate].astype(np.float32)
        like = mix((example, second), -20.0, rate)[0, : 4 * rate].astype(np.float32)
        word = encode_query_text(separator.encoder, first.label).float()
        try_all(separator, like, pair, word, "like", found)
        pair[1, :rate] = 0.0
        try_all(separator, pair[0, :rate].copy(), pair, word, "when", found)
    print("| way to ask | SI-SDRi in dB | more than before |\n|---|---|---|")
    for name, values in found.items():
        more = np.array(values) - np.array(found[f"{name.split(',')[0]}, {BEFORE}"])
        errors = [np.std(each) / np.sqrt(len(each)) for each in (values, more)]
        print(f"| {name} | {np.mean(values):+.2f} ± {errors[0]:.2f} | {np.mean(more):+.2f} ± {errors[1]:.2f} |")


if __name__ == "__main__":
    main()
