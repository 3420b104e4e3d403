"""Models by name: where they lie, `trisep models` and `trisep info`. Listing them reads cards only, and no weights."""

import json
from pathlib import Path
from typing import Any

from trisep import pretrained
from trisep.arguments.checkpoints import InfoArguments, ModelsArguments
from trisep.checkpoint import read_card
from trisep.errors import CheckpointError

_FOLDER = Path(pretrained.__file__).parent


def available_models() -> dict[str, Path]:
    """The models that come with the package, by name: every folder of `pretrained` that holds a `config.json`."""
    return {path.parent.name: path.parent for path in sorted(_FOLDER.glob("*/config.json"))}


def checkpoint_folder(name_or_path: str | Path) -> Path:
    """The folder of a model given by its name or by its path; a name goes first. CheckpointError lists the names there are."""
    models = available_models()
    if str(name_or_path) in models:
        return models[str(name_or_path)]
    path = Path(name_or_path)
    if path.is_dir():
        return path
    names = ", ".join(models) or "none in this installation"
    raise CheckpointError(f"unknown model '{name_or_path}': expected a checkpoint folder or one of these names: {names}")


def run_models(arguments: ModelsArguments) -> int:
    """`trisep models`: print what can be given to `--model`; returns the exit code."""
    rows = [_row(name, path) for name, path in available_models().items()]
    if arguments.json:
        print(json.dumps(rows, ensure_ascii=False, indent=1))
        return 0
    for row in rows:
        print(f"{row['name']:16s} {row['description']}")
    if not rows:
        print("no model comes with this installation; give --model the folder of a checkpoint")
    return 0


def run_info(arguments: InfoArguments) -> int:
    """`trisep info`: print a checkpoint's card as JSON; returns the exit code."""
    folder = checkpoint_folder(arguments.file)
    card = read_card(folder)
    weights = folder / "model.safetensors"
    print(
        json.dumps(
            {"path": str(folder), "weights_bytes": weights.stat().st_size if weights.is_file() else None, **card},
            ensure_ascii=False,
            indent=1,
        )
    )
    return 0


def _row(name: str, path: Path) -> dict[str, Any]:
    """One line of the list."""
    card = read_card(path)
    rate = card.get("signal", {}).get("sample_rate_hz")
    summary = f"{card.get('model')} with encoder {card.get('encoder')}, {rate} Hz"
    return {
        "name": name,
        "model": card.get("model"),
        "encoder": card.get("encoder"),
        "sample_rate_hz": rate,
        "description": card.get("description", summary),
        "path": str(path),
    }
