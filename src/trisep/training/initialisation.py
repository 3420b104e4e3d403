"""The initialisation of a network, and the parts of it that are not trained.

These are `--init` and `training.frozen` (CLIPSep, Appendix H).
"""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from trisep.checkpoints.format import load_model, read_card
from trisep.checkpoints.registry import checkpoint_folder
from trisep.encoders.resnet import ResNet18, load_imagenet
from trisep.errors import CheckpointError, ConfigError
from trisep.media.files import sha256_of
from trisep.recipes import Recipe


def find_start(name_or_path: str) -> Path:
    """Return the place of what a network is initialised from: a single file, or a model by its name or folder.

    CheckpointError lists the known names.
    """
    path = Path(name_or_path)
    return path if path.is_file() else checkpoint_folder(name_or_path)


def initial_network(recipe: Recipe, start: Path | None) -> tuple[nn.Module, list[str]]:
    """Build the network of a recipe, initialise it as `load_fitting` and `freeze` do, and say what was copied."""
    network: nn.Module = recipe.model.build()
    told = [] if start is None else [f"--init {start}: {load_fitting(network, start)}"]
    freeze(network, recipe.training.frozen)
    return network, told


def load_fitting(network: nn.Module, start: Path) -> str:
    """Copy from a checkpoint into a network all tensors of the same name and shape; return in words what was copied.

    Args:
        network: the network, which is changed in place.
        start: a checkpoint folder, of this or another model; or the usual ImageNet file of ResNet-18
            (`resnet18-*.pth`), for a model with an image network of its own.

    Raises CheckpointError when `start` cannot be read or no kernel or matrix of it fits.
    """
    if start.is_file():
        image_network = getattr(network, "image_network", None)
        if not isinstance(image_network, ResNet18):
            raise CheckpointError(
                f"{start}: expected a checkpoint folder; a single file only starts an image network, which this model "
                "lacks"
            )
        load_imagenet(start, image_network)
        return "ImageNet weights into image_network"
    checkpoint = load_model(start)
    own, parameters = network.state_dict(), dict(network.named_parameters())
    found = checkpoint.model.state_dict()
    fitting = {name: value for name, value in found.items() if name in own and own[name].shape == value.shape}
    if not any(name in parameters and value.ndim > 1 for name, value in fitting.items()):
        raise CheckpointError(
            f"{start}: nothing in this {checkpoint.model_name} fits the network that is to be trained; "
            "start from a checkpoint of the same widths, or change the recipe's with --set model.unet.base_width=…"
        )
    network.load_state_dict(fitting, strict=False)
    drawn = list(dict.fromkeys(name.rpartition(".")[0] or name for name in parameters if name not in fitting))
    rest = (
        f"; drawn at random: {', '.join(drawn[:4])}{f' and {len(drawn) - 4} more' if len(drawn) > 4 else ''}"
        if drawn
        else ""
    )
    return f"{len(parameters.keys() & fitting.keys())} of {len(parameters)} parameters{rest}"


def start_entry(start: Path) -> dict[str, Any]:
    """Return what a trained checkpoint's card says of the checkpoint that `load_fitting` copied from.

    This is its name, model, recipe, step and the SHA-256 of its weights; of a single file, the name and the hash. If it
    was itself initialised from another checkpoint, that one is described under `init`.
    """
    if start.is_file():
        return {"name": start.name, "weights_sha256": sha256_of(start)}
    card, weights = read_card(start), start / "model.safetensors"
    if not weights.is_file():
        raise CheckpointError(f"{start}: not a checkpoint folder: it should hold config.json and model.safetensors")
    recipe = card.get("recipe") or {}
    entry = {
        "name": start.resolve().name,
        "model": card.get("model"),
        "recipe": recipe.get("name"),
        "step": card.get("step"),
    }
    return {**entry, "weights_sha256": sha256_of(weights), **({"init": card["init"]} if card.get("init") else {})}


def freeze(network: nn.Module, names: Sequence[str]) -> None:
    """Exclude parts of a network from training.

    Their parameters get no gradient, and their batch normalisation gets no new statistics. `names` are modules or
    parameters, with all that is below them. Raises ConfigError for a name that the network lacks, or when nothing is
    left to train.
    """
    for prefix in names:
        inside = [value for name, value in network.named_parameters() if _is_inside(name, prefix)]
        if not inside:
            known = [
                name for name, module in network.named_modules() if name and next(module.parameters(), None) is not None
            ]
            nearest = difflib.get_close_matches(prefix, known, n=1) or [name for name in known if "." not in name]
            raise ConfigError(
                f"training.frozen: the network has no part '{prefix}'; did you mean {' or '.join(nearest)}?"
            )
        for value in inside:
            value.requires_grad_(False)
        for name, module in network.named_modules():
            if _is_inside(name, prefix):
                module.eval()
    if not any(value.requires_grad for value in network.parameters()):
        raise ConfigError("training.frozen: nothing is left to train; name fewer parts")


def _is_inside(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")
