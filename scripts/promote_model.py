"""Make a trained checkpoint a model that ships: 8-bit weights and a card, under src/trisep/pretrained/NAME.

    python scripts/promote_model.py RUN/model default --card card.json

The card (a JSON object: description, data, licences, command, seeds, dev figures, limits) is put into config.json,
where `trisep info NAME` shows it, beside what the checkpoint says of its own making and how far the network looks,
which is measured here once. `benchmarks/mask_calibration.py` finds --temperature, --bias and, for VAST,
--vector-regions.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from trisep import pretrained
from trisep.checkpoints.format import Checkpoint, load_model, save_model
from trisep.encoders import load_encoder
from trisep.errors import ConfigError, TrisepError
from trisep.networks.fusion import LateFusion
from trisep.queries.embed import embed_queries_for, labels_of
from trisep.separation.infer import measure_reach
from trisep.separation.separator import network_of
from trisep.types import Query

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
    """Read, calibrate, measure, pack, write."""
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
        reach = reach_frames(trained)
    except TrisepError as error:
        parser.error(str(error))
    card = json.loads(arguments.card.read_text(encoding="utf-8"))
    kept = {key: trained.card[key] for key in _KEPT if key in trained.card}
    found = {"mask_calibration": changed} | ({} if reach is None else {"reach_frames": reach})
    folder = Path(pretrained.__file__).parent / arguments.name
    save_model(folder, trained.model, model_name=trained.model_name, card={**kept, **found, **card}, packed=True)
    size = (folder / "model.safetensors").stat().st_size
    print(f"{folder}: {size / 1e6:.1f} MB")


@torch.no_grad()
def calibrate(model: nn.Module, temperature: float, bias: float, vector_regions: float | None) -> dict[str, float]:
    """Put `logit' = temperature · logit + bias` into what makes the logits, where it is exact, and `vector_regions`
    into the config.

    That is late fusion's scale and bias, or the U-Net's last layer where there is none: in VAST of every region's mask.
    Returns what was changed, for the card. ConfigError for `vector_regions` of a model that has none.
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
        raise ConfigError(
            f"--vector-regions: only VAST has them, and this is {type(model).__name__}; leave the option out"
        )
    model.config = replace(model.config, vector_regions=vector_regions)  # type: ignore[type-var, arg-type]
    return changed | {"vector_regions": vector_regions}


def reach_frames(checkpoint: Checkpoint) -> int | None:
    """How many frames away an input frame can still change a mask, which is what `separate` reads beyond a segment.

    None where it does not read so: for a network whose answer depends on the length of its input, or that answers no
    query.
    """
    contract = checkpoint.model.contract
    if not contract.is_shift_equivariant or not contract.answers_queries:
        return None
    asked = embed_queries_for(checkpoint, load_encoder(checkpoint.encoder), [some_query(checkpoint)])
    return measure_reach(network_of(checkpoint, asked), time_multiple=contract.time_multiple)


def some_query(checkpoint: Checkpoint) -> Query:
    """A query that the model can be asked with."""
    reads = checkpoint.model.contract.reads
    if reads == "frames":
        return Query("grey", image=np.full((224, 224, 3), 128, np.uint8))
    return Query("sound", text=labels_of(checkpoint)[0] if reads == "labels" else "sound")


if __name__ == "__main__":
    main()
