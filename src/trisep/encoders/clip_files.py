"""The places of CLIP's files on this machine: weights and vocabulary.

Nothing is downloaded: a CLIP has some 250 to 600 MB, and whether to fetch it is the user's choice. This file opens no
weights except to hash them.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from trisep.encoders.clip_tokenizer import OPENAI_VOCABULARY, CLIPTokenizer
from trisep.encoders.clip_weights import WEIGHT_FILES
from trisep.errors import CheckpointError
from trisep.media.files import sha256_of

PLACE_VARIABLE = "TRISEP_CLIP"
"""Environment variable: a weight file, a folder of one CLIP, or a folder of several (`clip-rn50/`, `RN50.pt`, …)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CLIPSource:
    """A published CLIP."""

    dim: int
    is_resnet: bool
    stride: int
    openai_file: str
    openai_sha256: str
    """The hash that OpenAI prints in the address of the file."""
    hub: str
    """Repository on the Hugging Face hub that holds the same weights."""
    licence: str = "MIT"


CLIP_SOURCES = {
    "clip-rn50": CLIPSource(
        dim=1024,
        is_resnet=True,
        stride=32,
        openai_file="RN50.pt",
        openai_sha256="afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762",
        hub="timm/resnet50_clip.openai",
    ),
    "clip-vit-b32": CLIPSource(
        dim=512,
        is_resnet=False,
        stride=32,
        openai_file="ViT-B-32.pt",
        openai_sha256="40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
        hub="openai/clip-vit-base-patch32",
    ),
}
"""The published CLIPs by name.

A file from the hub or from the user is accepted by the shapes of its tensors; its fingerprint is
recorded with every embedding."""


def find_clip_weights(name: str) -> Path:
    """Return the file or folder of a published CLIP's weights.

    They are searched in the place that `TRISEP_CLIP` names, and only there when it is set; else in the hub's cache;
    else where OpenAI's own package keeps its downloads, there by SHA-256. CheckpointError names the remedy.
    """
    source = CLIP_SOURCES[name]
    place = os.environ.get(PLACE_VARIABLE)
    if place:
        return _in_place(Path(place).expanduser(), name, source)
    cached = next((path for file in WEIGHT_FILES if (path := _in_hub_cache(source.hub, file))), None)
    if cached is not None:
        return cached
    downloaded = Path.home() / ".cache" / "clip" / source.openai_file
    if not downloaded.is_file():
        raise CheckpointError(
            f"encoder '{name}': its weights are not on this machine; run `hf download {source.hub}`, or set "
            f"{PLACE_VARIABLE} to "
            f"OpenAI's {source.openai_file} or to a folder in open_clip's or Hugging Face's layout"
        )
    if (digest := sha256_of(downloaded)) != source.openai_sha256:
        expected = source.openai_sha256[:12]
        raise CheckpointError(
            f"{downloaded}: expected sha256 {expected}…, got {digest[:12]}…; remove it and fetch it again"
        )
    return downloaded


def find_tokenizer(weights: Path) -> CLIPTokenizer:
    """Load the tokenizer that lies with the weights, in the place that `TRISEP_CLIP` names, or in the hub's cache.

    Raises CheckpointError when none of these holds one.
    """
    folders = [weights if weights.is_dir() else weights.parent]
    if place := os.environ.get(PLACE_VARIABLE):
        path = Path(place).expanduser()
        folders.append(path if path.is_dir() else path.parent)
    for source in CLIP_SOURCES.values():
        folders += [
            found.parent for file in ("tokenizer.json", "vocab.json") if (found := _in_hub_cache(source.hub, file))
        ]
    for folder in folders:
        if (tokenizer := CLIPTokenizer.load(folder)) is not None:
            return tokenizer
    raise CheckpointError(
        f"{folders[0]}: holds no CLIP vocabulary, which text needs; put tokenizer.json, or vocab.json with merges.txt, "
        "or OpenAI's "
        f"{OPENAI_VOCABULARY} beside the weights, or run `hf download openai/clip-vit-base-patch32 tokenizer.json`"
    )


def _in_place(place: Path, name: str, source: CLIPSource) -> Path:
    """Find the weights inside the place that the user named."""
    if place.is_file():
        return place
    if not place.is_dir():
        raise CheckpointError(
            f"{PLACE_VARIABLE}={place}: no such file or folder; set it to a CLIP checkpoint or a folder that holds one"
        )
    inside = next((path for path in (place / name, place / source.openai_file) if path.exists()), None)
    if inside is not None:
        return inside
    if any((place / file).is_file() for file in WEIGHT_FILES):
        return place
    expected = f"{name}/, {source.openai_file} or one of {', '.join(WEIGHT_FILES)}"
    raise CheckpointError(f"{PLACE_VARIABLE}={place}: holds no weights of '{name}'; expected {expected}")


def _in_hub_cache(repository: str, file: str) -> Path | None:
    """Find a file in the hub's local cache, or None."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, file)
    return Path(found) if isinstance(found, str) else None
