"""What keeps a model of mini-sets from separating better: material, names, or knowing what else is there?

    python benchmarks/what_limits.py default FOLDER_OF_THE_THREE [--mixtures 40]

Mixtures of two clips of the halves for choosing (draw of seed 1), queries in words. Prints the mean SI-SDR improvement
in dB for each set:

- alone, together: each query by itself, and both sharing the sound out
- better half: the stem or what it leaves, whichever is nearer to the source. What this gains is what naming costs
- with a rival: alone, but the sound is shared out with a second query, the class that the audio tower hears most of
  among those unlike the query
- training clips, alone: the same labels, as often, from what the model was trained on (`train`, `train_research`).
  What they are better by is what more material could give
"""

import argparse
import csv
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from trisep.checkpoints.format import Checkpoint
from trisep.checkpoints.registry import load_named
from trisep.encoders.audio_tower import SoundClasses
from trisep.evaluation.mixtures import infer_masks
from trisep.evaluation.queries import embed_sources
from trisep.evaluation.sounds import mix
from trisep.metrics import si_sdr
from trisep.protocols import ProtocolMixture, avmini, protocol
from trisep.protocols.mini_sets import SETS
from trisep.spectrogram.masks import apply_masks, exclusive_masks
from trisep.spectrogram.stft import stft

UNLIKE = 0.45
"""Classes whose words have a larger cosine with the query may be the query itself."""


def main() -> None:
    """Score every set and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("data", type=Path)
    parser.add_argument("--mixtures", type=int, default=40)
    arguments = parser.parse_args()
    checkpoint, tower = load_named(arguments.checkpoint), SoundClasses()
    columns = ("alone", "together", "better half", "with a rival")
    print(f"| set | {' | '.join(columns)} | training clips, alone |\n|{'---|' * (len(columns) + 2)}")
    for name in SETS:
        draw = protocol(f"{name}-choosing").pairs
        held_out = [
            row
            for mixture in islice(draw(arguments.data / name, 1), arguments.mixtures)
            for row in score(checkpoint, tower, mixture)
        ]
        with tempfile.TemporaryDirectory() as folder:
            trained = [
                row["alone"]
                for mixture in islice(draw(training_list(arguments.data / name, Path(folder)), 1), arguments.mixtures)
                for row in score(checkpoint, tower, mixture)
            ]
        means = [np.mean([row[column] for row in held_out]) for column in columns]
        print(f"| {name} | {' | '.join(f'{mean:.2f}' for mean in (*means, np.mean(trained)))} |", flush=True)


def training_list(data: Path, folder: Path) -> Path:
    """Write a list that names training clips `dev`: of each label as many as `dev` has, drawn with seed 0."""
    with (data / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = Counter(row["label"] for row in rows if row["split"] == "dev")
    training = [row for row in rows if row["split"] in ("train", "train_research")]
    random.Random(0).shuffle(training)
    path = folder / "manifest.csv"
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        for row in training:
            if wanted[row["label"]] > 0:
                wanted[row["label"]] -= 1
                table.writerow(row | {"path": str((data / row["path"]).resolve()), "split": "dev"})
    return path


def score(checkpoint: Checkpoint, tower: SoundClasses, mixture: ProtocolMixture) -> Iterator[dict[str, float]]:
    """Yield the scores of each source by the columns of the table."""
    signal = checkpoint.signal
    sources = mix(mixture.sources, avmini.LEVEL_DB, signal.sample_rate_hz)
    heard = sources.sum(axis=0)
    spectrum = stft(torch.from_numpy(heard)[None], signal)
    query = embed_sources(checkpoint, mixture.sources, "text", avmini.PROTOCOL)
    assert query.vectors is not None
    masks = infer_masks(checkpoint, heard, query).masks[None]
    shared = exclusive_masks(masks)
    rivals = rivals_of(tower, heard, query.vectors[0], signal.sample_rate_hz)
    for index, source in enumerate(sources):
        before = float(si_sdr(reference=source, estimate=heard))

        def gained(estimate: Float[np.ndarray, "S"], source: np.ndarray = source, before: float = before) -> float:
            return float(si_sdr(reference=source, estimate=estimate)) - before

        def stem(chosen: Float[Tensor, "1 Q 256 T"], index: int = 0) -> Float[np.ndarray, "S"]:
            samples: np.ndarray = apply_masks(spectrum, chosen[:, index : index + 1], signal, len(heard))[0, 0].numpy()
            return samples

        pair = replace(query, vectors=torch.stack([query.vectors[0, index], rivals[index]])[None])
        alone, rivalled = stem(masks, index), exclusive_masks(infer_masks(checkpoint, heard, pair).masks[None])
        yield {
            "alone": gained(alone),
            "together": gained(stem(shared, index)),
            "better half": max(gained(alone), gained(heard - alone)),
            "with a rival": gained(stem(rivalled)),
        }


def rivals_of(
    tower: SoundClasses, heard: Float[np.ndarray, "S"], queries: Float[Tensor, "Q D"], sample_rate_hz: int
) -> Float[Tensor, "Q D"]:
    """Return for each query the words of the class that stands out most in the mixture among those unlike it."""
    mean, deviation = tower.usual
    standing_out = (tower.logits(torch.from_numpy(heard).float()[None], sample_rate_hz)[0] - mean) / deviation
    words = torch.nn.functional.normalize(tower.embeddings, dim=-1)
    cosines = torch.nn.functional.normalize(queries, dim=-1) @ words.T
    chosen = standing_out.masked_fill(cosines > UNLIKE, -torch.inf).argmax(dim=-1)
    rivals: Tensor = words[chosen] * queries.norm(dim=-1, keepdim=True)
    return rivals


if __name__ == "__main__":
    main()
