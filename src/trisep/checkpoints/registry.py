"""The registry of models: their folders and cards by name. Listing them reads cards only, and no weights."""

import difflib
from pathlib import Path
from typing import Any

from trisep import pretrained
from trisep.checkpoints.format import Checkpoint, load_model, read_card
from trisep.checkpoints.hub import PREFIX, fetch_checkpoint
from trisep.errors import CheckpointError

_FOLDER = Path(pretrained.__file__).parent


def available_models() -> dict[str, Path]:
    """Return the models of the package by name: every folder of `pretrained` that holds a `config.json`."""
    return {path.parent.name: path.parent for path in sorted(_FOLDER.glob("*/config.json"))}


def checkpoint_folder(name_or_path: str | Path) -> Path:
    """Return the folder of a model given by its name, its path or, as hf:OWNER/NAME[@REV], its place on the hub.

    A name takes precedence. CheckpointError lists the known names.
    """
    models = available_models()
    if str(name_or_path) in models:
        return models[str(name_or_path)]
    if str(name_or_path).startswith(PREFIX):
        return fetch_checkpoint(str(name_or_path))
    path = Path(name_or_path)
    if path.is_dir():
        return path
    names = ", ".join(models) or "none in this installation"
    expected = f"{PREFIX}OWNER/NAME or one of these names: {names}"
    if path.exists():
        raise CheckpointError(
            f"{path}: is there and no checkpoint: expected a folder that holds config.json and model.safetensors, "
            f"{expected}"
        )
    nearest = difflib.get_close_matches(str(name_or_path), models, n=1)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    raise CheckpointError(f"unknown model '{name_or_path}': expected a checkpoint folder, {expected}{hint}")


def load_named(name_or_path: str | Path, *, packed: bool = False) -> Checkpoint:
    """Load the checkpoint of a name or a folder; CheckpointError says what is wrong with it."""
    return load_model(checkpoint_folder(name_or_path), packed=packed)


def describe_models() -> list[dict[str, Any]]:
    """List the values that `--model` accepts by name: model, encoder, rate, description and place."""
    return [_row(name, path) for name, path in available_models().items()]


def read_model_card(name_or_path: str | Path) -> dict[str, Any]:
    """Read the card of a checkpoint, and add its place and the size of its weights."""
    folder = checkpoint_folder(name_or_path)
    weights = folder / "model.safetensors"
    size = weights.stat().st_size if weights.is_file() else None
    measured = {"path": str(folder), "weights_bytes": size}
    return {**measured, **read_card(folder), **measured}


def _row(name: str, path: Path) -> dict[str, Any]:
    """Build one line of the list."""
    card = read_card(path)
    rate = card["signal"].get("sample_rate_hz")
    summary = f"{card['model']} with encoder {card['encoder']}, {rate} Hz"
    return {
        "name": name,
        "model": card["model"],
        "encoder": card["encoder"],
        "sample_rate_hz": rate,
        "description": card.get("description", summary),
        "path": str(path),
    }
