"""Make a trained checkpoint a model that ships: fp16 weights and a card, under src/trisep/pretrained/NAME.

    python scripts/promote_model.py RUN/model default --card card.json

The card (a JSON object: description, data, licences, command, seeds, dev figures, limits) is put into config.json, where `trisep
info NAME` shows it, beside what the checkpoint says of its own making. `benchmarks/mask_calibration.py` finds --temperature, --bias and,
for VAST, --vector-regions.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from trisep import pretrained
from trisep.checkpoint import load_model, save_model
from trisep.errors import ConfigError, TrisepError
from trisep.fusion.late import LateFusion

_KEPT = (
    "signal",
    "encoder",
    "encoder_fingerprint",
    "recipe",
    "init",
    "step",
    "git_revision",
    "metrics",
    "presence",
    "labels",
    "teacher_fingerprint",
)


def main() -> None:
    """Read, calibrate, halve, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("name")
    parser.add_argument("--card", type=Path, required=True)
    parser.add_argument("--temperature", type=float, default=1.0, help="factor on the mask logits")
    parser.add_argument("--bias", type=float, default=0.0, help="added to the mask logits")
    parser.add_argument("--vector-regions", type=float, help="VAST: how many regions a query in words stands for")
    arguments = parser.parse_args()
    try:
        trained = load_model(arguments.checkpoint)
        changed = calibrate(trained.model, arguments.temperature, arguments.bias, arguments.vector_regions)
    except TrisepError as error:
        parser.error(str(error))
    card = json.loads(arguments.card.read_text(encoding="utf-8"))
    kept = {key: trained.card[key] for key in _KEPT if key in trained.card}
    folder = Path(pretrained.__file__).parent / arguments.name
    save_model(folder, trained.model, model_name=trained.model_name, card={**kept, "mask_calibration": changed, **card}, half=True)
    size = (folder / "model.safetensors").stat().st_size
    print(f"{folder}: {size / 1e6:.1f} MB")


@torch.no_grad()
def calibrate(model: nn.Module, temperature: float, bias: float, vector_regions: float | None) -> dict[str, float]:
    """Put `logit' = temperature · logit + bias` into what makes the logits, where it is exact, and `vector_regions` into the config.

    That is late fusion's scale and bias, or the U-Net's last layer where there is none: in VAST of every region's mask. Returns what was
    changed, for the card. ConfigError for `vector_regions` of a model that has none.
    """
    late = next((module for module in model.modules() if isinstance(module, LateFusion)), None)
    last = model.unet.output_layer if late is None else late  # type: ignore[union-attr]
    factor = last.weight if late is None else late.scale  # type: ignore[union-attr]
    factor.mul_(temperature)  # type: ignore[operator, union-attr]
    last.bias.mul_(temperature).add_(bias)  # type: ignore[operator, union-attr]
    changed = {"temperature": temperature, "bias": bias}
    if vector_regions is None:
        return changed
    if not hasattr(model.config, "vector_regions"):
        raise ConfigError(f"--vector-regions: only VAST has them, and this is {type(model).__name__}; leave the option out")
    model.config = replace(model.config, vector_regions=vector_regions)  # type: ignore[type-var, arg-type]
    return changed | {"vector_regions": vector_regions}


if __name__ == "__main__":
    main()
