"""Arms of the default's recipe, small and short: what each of its choices is worth at equal steps.

    python benchmarks/word_arms.py FOLDER_OF_THE_THREE --store STORE --labels LABELS --offscreen OFFSCREEN \
        --narrow AVMINI_STORE --out RUNS [--steps 300] [--seeds 1 2] [--mixtures 40] [--precision fp32]

Each arm is `hfra-words-avmini` from nothing, at half the width, on crops of 2 s, with one thing changed (`arms`). STORE
has the clips of all sets, AVMINI_STORE those of avmini alone; LABELS names both (docs/training.md). Prints a table: the
SI-SDR improvement (dB) of queries in words, each alone, on mixtures of the halves for choosing (draw of seed 1), the
difference from the first arm, averaged over seeds, with its 95 % interval and p (sign flips over mixtures of all sets),
and the seconds of a step. Run again, it goes on; finished arms are kept. `--only` takes names of arms.
"""

import argparse
import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from trisep.checkpoints.format import Checkpoint
from trisep.checkpoints.registry import load_named
from trisep.encoders import encode_query_text, load_teacher
from trisep.evaluation.mixtures import infer_masks
from trisep.evaluation.queries import embed_sources
from trisep.evaluation.sounds import mix
from trisep.losses import LossTerms
from trisep.losses.alignment import TeacherAlignedLoss
from trisep.losses.masks import MaskLoss
from trisep.metrics import si_sdr
from trisep.metrics.statistics import paired_test
from trisep.mixing.augmentation import AugmentationConfig
from trisep.models.hfra import Config
from trisep.networks.audio_unet import UNetConfig
from trisep.protocols import ProtocolMixture, avmini, protocol
from trisep.protocols.mini_sets import SETS
from trisep.recipes import Recipe, recipe
from trisep.spectrogram.log_frequency import log_magnitude
from trisep.spectrogram.masks import apply_masks
from trisep.spectrogram.stft import stft
from trisep.training.loop import TrainSettings, train
from trisep.types import QueryEmbedding, SpectralMixture

_embedded = functools.lru_cache(maxsize=None)(encode_query_text)
BASE = "base"
TOWER = "lite"
TOWER_DIM = 256


def beside(query: QueryEmbedding, heard: Float[Tensor, "B 256"]) -> QueryEmbedding:
    """Append what the audio tower hears in the mixture to each query vector, both at unit length."""
    assert query.vectors is not None
    tiled = normalize(heard, dim=-1)[:, None].expand(-1, query.vectors.shape[1], -1)
    return replace(query, vectors=torch.cat([normalize(query.vectors, dim=-1), tiled], dim=-1))


@dataclass(frozen=True, kw_only=True, slots=True)
class HeardLoss(MaskLoss):
    """The mask loss of a model that reads the tower's embedding of the mixture beside its query."""

    @property
    def needs(self) -> frozenset[str]:
        """The tower's embedding, which is read as a teacher's is."""
        return frozenset({"teacher"})

    def __call__(self, model: nn.Module, batch: SpectralMixture) -> LossTerms:
        """Predict the masks with both and compare them with the targets."""
        assert batch.mixture.teacher is not None
        query = beside(batch.mixture.query, batch.mixture.teacher)
        return LossTerms(self.terms(model(log_magnitude(batch.magnitude), query), batch))


def arms(num_steps: int, seed: int, precision: str = "bf16") -> dict[str, Recipe]:
    """Every arm by its name; the first is what the others are compared with."""
    start = recipe("hfra-words-avmini")
    assert isinstance(start.model, Config)
    unet = UNetConfig(base_width=16, max_width=128, upsampling="transposed", out_channels=32)
    model, loss = replace(start.model, unet=unet), MaskLoss(kind="log_error")
    base = replace(
        start,
        signal=replace(start.signal, clip_samples=32767),
        model=model,
        loss=loss,
        optimizer=replace(start.optimizer, learning_rate=1e-3, warmup_steps=min(40, num_steps // 4)),
        training=replace(
            start.training,
            num_steps=num_steps,
            precision=precision,
            ema_decay=0.98,
            checkpoint_steps=100,
            validation_steps=10**9,
            seed=seed,
        ),
    )
    told = {"teacher": TOWER}
    return {
        BASE: base,
        "clips drawn alike": replace(base, mixing=replace(base.mixing, balance=0.0)),
        "domains mixed freely": replace(base, mixing=replace(base.mixing, within_domain=0.0)),
        "no augmentation": replace(base, augmentation=AugmentationConfig()),
        "words alone": replace(base, query="text"),
        "tower beside the query": replace(
            base,
            model=replace(model, embedding_dim=384 + TOWER_DIM, teacher_dim=TOWER_DIM),
            loss=HeardLoss(kind="log_error"),
            **told,
        ),
        "tower as teacher": replace(
            base, model=replace(model, teacher_dim=TOWER_DIM), loss=TeacherAlignedLoss(mask=loss), **told
        ),
        "loss: L1 of magnitudes": replace(base, loss=MaskLoss(kind="magnitude_l1")),
        "loss: binary masks": replace(base, loss=MaskLoss()),
        "1.5 times as wide": replace(base, model=replace(model, unet=replace(unet, base_width=24, max_width=192))),
        "residual blocks": replace(base, model=replace(model, unet=replace(unet, residual_levels=tuple(range(7))))),
        "no modulation": replace(base, model=replace(model, modulate=False)),
        "twice the batch": replace(base, training=replace(base.training, batch_size=16)),
        "single precision": replace(base, training=replace(base.training, precision="fp32")),
        "avmini alone": base,
    }


def main() -> None:
    """Train, score and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    for name in ("store", "labels", "offscreen", "narrow", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--mixtures", type=int, default=40)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16", help="of all arms that name none")
    parser.add_argument("--only", nargs="+", default=list(arms(1, 1)), choices=list(arms(1, 1)), metavar="NAME")
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        for name, changed in arms(arguments.steps, seed, arguments.precision).items():
            if name in arguments.only:
                run(name, changed, arguments)
    print_table(arguments)


def run(name: str, changed: Recipe, arguments: argparse.Namespace) -> None:
    """Train and score one arm with one seed, unless its scores are there."""
    folder = _folder(name, changed.training.seed, arguments.out)
    file = folder / f"scores-{arguments.mixtures}.json"
    if file.is_file():
        return
    print(f"{name}, seed {changed.training.seed}", flush=True)
    settings = TrainSettings(
        data=arguments.narrow if name == "avmini alone" else arguments.store,
        out=folder,
        offscreen=arguments.offscreen,
        labels=arguments.labels,
        cpu=True,
    )
    # The arm that hears reads longer vectors than the encoder gives, which validation would give it. The words are the
    # same for every arm.
    with (
        mock.patch("trisep.training.data._check_sizes"),
        mock.patch("trisep.training.loop.validate", return_value={"si_sdri": 0.0}),
        mock.patch("trisep.training.queries.encode_query_text", _embedded),
    ):
        model = load_named(str(train(changed, settings)))
    scores = {
        set_name: [
            float(np.mean(list(gains(model, mixture, is_told=isinstance(changed.loss, HeardLoss)))))
            for mixture in islice(
                protocol(f"{set_name}-choosing").pairs(arguments.data / set_name, 1), arguments.mixtures
            )
        ]
        for set_name in SETS
    }
    file.write_text(json.dumps(scores))


def gains(model: Checkpoint, mixture: ProtocolMixture, *, is_told: bool) -> Iterator[float]:
    """Yield the SI-SDR improvement of each source, asked alone, in dB."""
    signal = model.signal
    sources = mix(mixture.sources, avmini.LEVEL_DB, signal.sample_rate_hz)
    heard = sources.sum(axis=0)
    query = embed_sources(model, mixture.sources, "text", avmini.PROTOCOL)
    sound = torch.from_numpy(heard)[None]
    if is_told:
        query = beside(query, load_teacher(TOWER).encode_audio(sound, signal.sample_rate_hz))
    masks = infer_masks(model, heard, query).masks[None]
    estimates = apply_masks(stft(sound, signal), masks, signal, len(heard))[0].numpy()
    for source, estimate in zip(sources, estimates, strict=True):
        yield float(si_sdr(reference=source, estimate=estimate) - si_sdr(reference=source, estimate=heard))


def print_table(arguments: argparse.Namespace) -> None:
    """Print every arm that has its scores, beside the first."""
    print(
        f"| arm | {' | '.join(SETS)} | mean | − {BASE} [95 %] | p | each seed | s / step |\n|{'---|' * (len(SETS) + 6)}"
    )
    found = {name: _scores(name, arguments) for name in arms(1, 1)}
    for name, scores in found.items():
        if scores is None:
            continue
        cells = [f"{scores[:, index].mean():.2f}" for index in range(len(SETS))] + [f"{scores.mean():.2f}"]
        if name == BASE or found[BASE] is None:
            cells += ["–", "–"]
        else:
            ours, theirs = (values.mean(axis=0).ravel() for values in (scores, found[BASE]))
            test = paired_test(ours, theirs, generator=np.random.default_rng(0))
            interval = test.interval
            cells += [f"{test.mean_difference:+.2f} [{interval.low:+.2f}, {interval.high:+.2f}]", f"{test.p_value:.3f}"]
        cells += [" · ".join(f"{value:.2f}" for value in scores.mean(axis=(1, 2))), f"{_seconds(name, arguments):.2f}"]
        print(f"| {name} | {' | '.join(cells)} |")


def _folder(name: str, seed: int, out: Path) -> Path:
    return out / f"{name.replace(' ', '-').replace(':', '').replace('.', '_')}-{seed}"


def _scores(name: str, arguments: argparse.Namespace) -> Float[np.ndarray, "seeds sets mixtures"] | None:
    """The scores of an arm, or None where a seed of it is missing."""
    files = [_folder(name, seed, arguments.out) / f"scores-{arguments.mixtures}.json" for seed in arguments.seeds]
    if not all(file.is_file() for file in files):
        return None
    found = [json.loads(file.read_text()) for file in files]
    return np.array([[scores[set_name] for set_name in SETS] for scores in found])


def _seconds(name: str, arguments: argparse.Namespace) -> float:
    """The median time of a step of an arm."""
    logs = [_folder(name, seed, arguments.out) / "log.jsonl" for seed in arguments.seeds]
    lines = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    return float(np.median([line["step_seconds"] for line in lines if "step_seconds" in line]))


if __name__ == "__main__":
    main()
