"""What each augmentation buys: short runs that differ in one augmentation, validated on held-out clips as they are and
changed in one way.

    python benchmarks/augmentation.py --data STORE --validation STORE --offscreen STORE --out RUNS [--steps 400]

Every arm trains the recipe `clipsep-avmini` in a small size with the same seed: none of the augmentations, each alone,
all of them, and the two that change what is asked or how loud it is. Each is then validated with image queries (mean
SI-SDR improvement, dB) on the same held-out mixtures: plain, in other rooms, through an equaliser, pitched, through a
codec, and with an off-screen sound. An interrupted table continues where it stopped.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from trisep.checkpoints.format import load_model
from trisep.mixing.augmentation import AugmentationConfig
from trisep.recipes import Recipe, override, recipe
from trisep.training.data import VALIDATION_SEED, MixtureDataset, open_store
from trisep.training.loop import TrainSettings, train
from trisep.training.validation import validate

KINDS = ("resample", "room", "equalizer", "codec")
PLAIN_MIXING: dict[str, Any] = {
    "interference_probability": 0.0,
    "num_absent_queries": 0,
    "mixture_gain_db": (0.0, 0.0),
    "source_gain_db": (0.0, 0.0),
}
"""Settings of mixing without off-screen sounds, absent queries and gains (dB)."""


def main() -> None:
    """Train every arm, validate it under every condition, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "validation", "offscreen", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--mixtures", type=int, default=64)
    arguments = parser.parse_args()
    table = {}
    for name, arm in arms(arguments.steps).items():
        folder = arguments.out / name.replace(" ", "_")
        settings = TrainSettings(
            data=arguments.data, out=folder, offscreen=arguments.offscreen, validation=arguments.validation, cpu=True
        )
        scores = folder / "scores.json"
        if not scores.is_file():
            model = load_model(train(arm, settings)).model
            results = {}
            for condition, changed in conditions(arm, arguments.mixtures).items():
                dataset = held_out(changed, arguments, condition)
                results[condition] = validate(model, dataset, changed, torch.device("cpu"))["si_sdri"]
            scores.write_text(json.dumps(results), encoding="utf-8")
        table[name] = json.loads(scores.read_text(encoding="utf-8"))
        print(name, table[name], flush=True)
    columns = list(next(iter(table.values())))
    print("\n| trained with | " + " | ".join(columns) + " | mean |\n|---|" + "---|" * (len(columns) + 1))
    for name, row in table.items():
        print(
            f"| {name} | "
            + " | ".join(f"{row[column]:.2f}" for column in columns)
            + f" | {sum(row.values()) / len(row):.2f} |"
        )


def arms(num_steps: int) -> dict[str, Recipe]:
    """The recipes compared: all in one small size, with one seed."""
    small = override(
        recipe("clipsep-avmini"),
        (
            "model.unet.base_width=16",
            "model.unet.max_width=128",
            "signal.clip_samples=32767",
            f"training.num_steps={num_steps}",
            f"training.validation_steps={num_steps}",
            "training.num_validation_mixtures=8",
        ),
    )
    full = small.augmentation
    plain_mixing = replace(small.mixing, **PLAIN_MIXING)
    none = replace(small, augmentation=AugmentationConfig(), mixing=plain_mixing)
    table = {"none": none}
    for kind in KINDS:
        table[f"{kind} alone"] = replace(none, augmentation=replace(off(full), **{f"{kind}_probability": 0.5}))
    table["levels alone"] = replace(
        none,
        mixing=replace(
            plain_mixing, source_gain_db=small.mixing.source_gain_db, mixture_gain_db=small.mixing.mixture_gain_db
        ),
    )
    table["off-screen alone"] = replace(none, mixing=replace(plain_mixing, interference_probability=0.5))
    table["absent queries alone"] = replace(none, mixing=replace(plain_mixing, num_absent_queries=1))
    table["all"] = small
    return table


def conditions(arm: Recipe, num_mixtures: int) -> dict[str, Recipe]:
    """The held-out mixtures as they are, and changed in one way each."""
    mixing = replace(arm.mixing, **PLAIN_MIXING)
    plain = replace(
        arm,
        augmentation=AugmentationConfig(),
        mixing=mixing,
        training=replace(arm.training, num_validation_mixtures=num_mixtures),
    )
    strength = recipe("clipsep-avmini").augmentation
    changed = {
        kind: replace(plain, augmentation=replace(off(strength), **{f"{kind}_probability": 1.0})) for kind in KINDS
    }
    offscreen = replace(plain, mixing=replace(mixing, interference_probability=1.0, interference_db=(-6.0, -6.0)))
    return {"plain": plain, **changed, "off-screen": offscreen}


def off(strength: AugmentationConfig) -> AugmentationConfig:
    """The same strengths, never applied."""
    return replace(strength, **{f"{kind}_probability": 0.0 for kind in KINDS})


def held_out(changed: Recipe, arguments: argparse.Namespace, condition: str) -> MixtureDataset:
    """Validation mixtures of a condition."""
    offscreen = open_store(arguments.offscreen, changed) if condition == "off-screen" else None
    return MixtureDataset(open_store(arguments.validation, changed), changed, seed=VALIDATION_SEED, offscreen=offscreen)


if __name__ == "__main__":
    main()
