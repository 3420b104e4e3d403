"""VAST's losses in miniature (paper, Tables 5 and 7): arms that branch from one checkpoint trained on masks alone, for
equally many steps.

    python benchmarks/vast_ablation.py --data STORE --validation STORE --out RUNS [--shared-steps 250] \
        [--arm-steps 120] [--seeds 1 2]

The stores need regions and latent captions (`trisep embed STORE --captions`). Every arm and seed is a run of the recipe
`vast-avmini` under RUNS/ARM-SEED; an interrupted one continues. Score them with `trisep evaluate RUNS/ARM-SEED/model
--query text` (and video), and set them side by side with `trisep compare`.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from trisep.recipes import OptimizerConfig, Recipe, override, recipe
from trisep.training.loop import TrainSettings, train

ARMS = {
    "mask": (0.0, 0.0),
    "audio-language": (0.0, 1e-2),
    "tri-modal": (1e-3, 0.0),
    "both": (1e-2, 1e-3),
}
"""Weights λ₂ and λ₃ of Table 5's rows."""


def main() -> None:
    """Train the shared start, then every arm from it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "validation", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--shared-steps", type=int, default=250)
    parser.add_argument("--arm-steps", type=int, default=120)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument(
        "--set", action="append", default=[], metavar="PATH=VALUE", help="change the recipe of every run"
    )
    arguments = parser.parse_args()
    settings = TrainSettings(
        data=arguments.data, out=arguments.out / "shared", validation=arguments.validation, cpu=True
    )
    base = override(recipe("vast-avmini"), tuple(arguments.set))
    start = train(arm(base, *ARMS["mask"], num_steps=arguments.shared_steps, seed=0, warmup_steps=50), settings)
    for seed in arguments.seeds:
        for name, weights in ARMS.items():
            run = arm(base, *weights, num_steps=arguments.arm_steps, seed=seed, warmup_steps=10)
            print(train(run, replace(settings, out=arguments.out / f"{name}-{seed}", init=start)), flush=True)


def arm(
    base: Recipe, tri_modal: float, audio_language: float, *, num_steps: int, seed: int, warmup_steps: int
) -> Recipe:
    """The recipe with these weights; all arms see the same mixtures in the same order."""
    loss: Any = base.loss
    return replace(
        base,
        loss=replace(loss, tri_modal_weight=tri_modal, audio_language_weight=audio_language),
        optimizer=OptimizerConfig(
            learning_rate=base.optimizer.learning_rate, warmup_steps=warmup_steps, gradient_clip=1.0
        ),
        training=replace(base.training, num_steps=num_steps, validation_steps=num_steps, seed=seed),
    )


if __name__ == "__main__":
    main()
