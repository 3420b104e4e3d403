"""Make a trained checkpoint a model that ships: fp16 weights and a card, under src/trisep/pretrained/NAME.

    python scripts/promote_model.py RUN/model default --card card.json

The card (a JSON object: description, data, licences, command, seeds, dev figures, limits) is put into config.json, where `trisep
info NAME` shows it.
"""

import argparse
import json
from pathlib import Path

from trisep import pretrained
from trisep.checkpoint import load_model, save_model

_KEPT = (
    "signal",
    "encoder",
    "encoder_fingerprint",
    "recipe",
    "step",
    "git_revision",
    "metrics",
    "presence",
    "labels",
    "teacher_fingerprint",
)


def main() -> None:
    """Read, halve, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("name")
    parser.add_argument("--card", type=Path, required=True)
    parser.add_argument("--temperature", type=float, default=1.0, help="factor on the mask logits (benchmarks/mask_calibration.py)")
    parser.add_argument("--bias", type=float, default=0.0, help="added to the mask logits")
    arguments = parser.parse_args()
    trained = load_model(arguments.checkpoint)
    fusion = trained.model.fusion
    fusion.scale.mul_(arguments.temperature)  # type: ignore[union-attr, operator]
    fusion.bias.mul_(arguments.temperature).add_(arguments.bias)  # type: ignore[union-attr, operator]
    calibration = {"mask_calibration": {"temperature": arguments.temperature, "bias": arguments.bias}}
    card = json.loads(arguments.card.read_text(encoding="utf-8"))
    kept = {key: trained.card[key] for key in _KEPT if key in trained.card}
    folder = Path(pretrained.__file__).parent / arguments.name
    save_model(folder, trained.model, model_name=trained.model_name, card={**kept, **calibration, **card}, half=True)
    size = (folder / "model.safetensors").stat().st_size
    print(f"{folder}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
