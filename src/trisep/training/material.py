"""What a run learns from besides its recipe: its stores, what was made of them, and what the label file says of them.

A run keeps hashes of these in its states, and does not go on with others: its numbers would be those of neither.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from trisep.errors import TrainingError
from trisep.store.embeddings import read_embedding_header
from trisep.store.layout import box_path, caption_path
from trisep.store.read import ClipStore
from trisep.training.data import MixtureDataset


class _Places(Protocol):
    """Where a run reads and writes (`training/loop.py`)."""

    @property
    def out(self) -> Path:
        """The folder of the run."""
        ...

    @property
    def labels(self) -> Path | None:
        """The label file."""
        ...


def material_of(training: MixtureDataset, validation: MixtureDataset) -> dict[str, dict[str, str] | None]:
    """Return, for each store, hashes of its `clips`, their `embeddings` and what is said of them (`labels`).

    None stands for an option that is not given. What the recipe does not read of a store is an empty text.
    """
    own = None if validation.store is training.store else _material(validation)
    offscreen = None if training.offscreen is None else {"clips": _clips(training.offscreen)}
    return {"data": _material(training), "validation": own, "offscreen": offscreen}


def require_same_material(
    state: Mapping[str, Any], training: MixtureDataset, validation: MixtureDataset, places: _Places
) -> None:
    """Raise TrainingError where a store, or what the label file says of its clips, is not what a run was begun with.

    `state` holds the values of the training state that is gone on from; those of older versions kept less.
    """
    begun = state.get("material") or {"data": {"labels": state.get("labels_sha256")}}
    stores = {"data": training.store, "validation": validation.store, "offscreen": training.offscreen}
    for option, now in material_of(training, validation).items():
        if state and option in begun:
            _require_same(option, begun[option], now, stores[option], places)


def _require_same(
    option: str,
    begun: Mapping[str, Any] | None,
    now: Mapping[str, str] | None,
    store: ClipStore | None,
    places: _Places,
) -> None:
    """Raise TrainingError that names the first difference of one store."""
    run = f"the run in {places.out} was begun"
    if (begun is None) != (now is None):
        then, given = ("without", "leave it out") if begun is None else ("with", "give the same store")
        raise TrainingError(f"--{option}: {run} {then} this option; {given}, or choose another --out")
    for what, value in (now or {}).items():
        if (was := (begun or {}).get(what)) is None or was == value:
            continue
        path = None if store is None else store.path
        if what == "labels":
            raise TrainingError(
                f"{places.labels}: says other things of the clips of {path} than it did when {run}; choose another "
                "--out, or give the labels as they were"
            )
        differs = "holds other clips" if what == "clips" else "has other embeddings"
        raise TrainingError(
            f"{path}: {differs} than the store of --{option} did when {run}; choose another --out, or give the store "
            "as it was"
        )


def _material(data: MixtureDataset) -> dict[str, str]:
    """Return the hashes of what a recipe reads of a store."""
    return {"clips": _clips(data.store), "embeddings": _embeddings(data), "labels": data.queries.labels_sha256}


def _clips(store: ClipStore) -> str:
    """Hash what the manifest says of the content: the index and the shards."""
    return _digest(store.manifest.index_sha256, *(shard.sha256 for shard in store.manifest.shards))


def _embeddings(data: MixtureDataset) -> str:
    """Hash what embeddings follow from beside the clips: the encoder; and captions and boxes, which have settings."""
    paths = {caption_path: data.captions is not None, box_path: data.recipe.query in ("cuts", "boxes")}
    store, encoder = data.store, data.recipe.encoder
    headers = (
        read_embedding_header(path_of(store.path, shard.name, encoder))[0].tensors_sha256
        for path_of, is_read in paths.items()
        if is_read
        for shard in store.manifest.shards
    )
    return _digest(data.queries.encoder_fingerprint, *headers)


def _digest(*parts: str) -> str:
    """Hash texts in order."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
