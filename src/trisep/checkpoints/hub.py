"""Checkpoints on a hub: `hf:OWNER/NAME[@REVISION]` → a folder of files that were verified, and a checkpoint → the hub.

A repository holds the files of a checkpoint, README.md for people, and SHA256SUMS, by which the files are accepted each
time they are used. Nothing else of a repository is fetched. The hub is the Hugging Face hub (extra `hub`), whose files
stay in its cache for use without a network, or the folder that the variable TRISEP_HUB names, by its path or a file://
address, with the files in OWNER/NAME/REVISION/. This file knows no models.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from trisep.checkpoints.card import card_lines
from trisep.checkpoints.format import read_card
from trisep.errors import CheckpointError, needs_extra
from trisep.media.files import replacing_folder, sha256_of

PREFIX = "hf:"
SUMS = "SHA256SUMS"
CHECKPOINT_FILES = ("config.json", "model.safetensors")
_README = "README.md"
_NAME = r"[A-Za-z0-9][\w.-]{0,95}"
_TAGS = ("audio-source-separation", "sound-separation", "audio-visual")


@dataclass(frozen=True, slots=True)
class HubName:
    """Where on a hub a checkpoint is."""

    repository: str
    """OWNER/NAME."""
    revision: str | None = None
    """A branch, tag or commit; None is the main branch."""

    def __str__(self) -> str:
        """Write it as people do."""
        return f"{PREFIX}{self.repository}{f'@{self.revision}' if self.revision else ''}"


def parse_hub_name(text: str) -> HubName:
    """Read "hf:OWNER/NAME" or "hf:OWNER/NAME@REVISION"; CheckpointError for anything else."""
    found = re.fullmatch(rf"{PREFIX}({_NAME}/{_NAME})(?:@({_NAME}))?", text)
    if found is None:
        raise CheckpointError(f"{text}: expected {PREFIX}OWNER/NAME or {PREFIX}OWNER/NAME@REVISION")
    return HubName(found[1], found[2])


def fetch_checkpoint(text: str) -> Path:
    """Return the folder of a checkpoint on the hub, its files verified; what was fetched before needs no network.

    Raises CheckpointError for a name that is none, a checkpoint that is not there or not reached, and files that
    are not what their SHA256SUMS say.
    """
    name = parse_hub_name(text)
    hub = _folder_hub()
    if hub is None:
        folder = _downloaded(name)
    else:
        folder = hub / name.repository / (name.revision or "main")
        if not folder.is_dir():
            raise CheckpointError(f"{name}: not in the hub {hub}; check the name, or put it there: trisep push")
    _verify(folder, name)
    return folder


def push_checkpoint(folder: Path, text: str, *, private: bool = False) -> str:
    """Put a checkpoint on the hub, with a card for people and the sums of its files; return where it is.

    An older checkpoint of that name and revision is replaced; the Hugging Face hub keeps it in its history.

    Raises CheckpointError for a folder that is no checkpoint, a name that is none, or a hub that refuses it; MediaError
    for a hub's folder that cannot be written.
    """
    name, card = parse_hub_name(text), read_card(folder)
    if not (folder / CHECKPOINT_FILES[1]).is_file():
        raise CheckpointError(f"{folder}: holds no {CHECKPOINT_FILES[1]}; give a complete checkpoint")
    hub = _folder_hub()
    if hub is not None:
        place = hub / name.repository / (name.revision or "main")
        _require_own(place)
        with replacing_folder(place) as temporary:
            _fill(temporary, folder, name, card)
        return str(place)
    with tempfile.TemporaryDirectory(prefix="trisep-push-") as staging:
        _fill(Path(staging), folder, name, card)
        return _uploaded(Path(staging), name, private=private)


def readme(name: HubName, card: Mapping[str, Any]) -> str:
    """Write the model card of a repository from the card of a checkpoint, with the metadata that hubs read."""
    licence = re.sub(r"[^a-z0-9.-]+", "-", str(card.get("licence", "other")).lower()).strip("-")
    metadata = [f"license: {licence}", "library_name: trisep", "pipeline_tag: audio-to-audio", "tags:"]
    title, *facts = card_lines(card)
    lines = ["---", *metadata, *(f"- {tag}" for tag in _TAGS), "---", "", f"# {title}", ""]
    lines += ["A model of [trisep](https://pypi.org/project/trisep/), which separates sounds by what you name.", ""]
    lines += ["```sh", "pip install 'trisep[hub]'", f'trisep separate clip.mp4 "violin" --model {name}', "```", ""]
    return "\n".join([*lines, "```", *facts, "```", ""])


def _folder_hub() -> Path | None:
    """Return the folder that takes the place of the Hugging Face hub, if one does."""
    place = os.environ.get("TRISEP_HUB", "")
    if not place:
        return None
    address = urlsplit(place)
    if address.scheme == "file":
        return Path(unquote(address.path))
    if "://" in place:
        raise CheckpointError(f"TRISEP_HUB={place}: expected a folder or a file:// address")
    return Path(place)


def _downloaded(name: HubName) -> Path:
    """Return the folder of the cache that holds a checkpoint, fetched if it can be; CheckpointError where it cannot."""
    with needs_extra(f"{name}"):
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    wanted = [*CHECKPOINT_FILES, SUMS, _README]
    try:
        return Path(snapshot_download(name.repository, revision=name.revision, allow_patterns=wanted))
    except RepositoryNotFoundError as error:
        raise CheckpointError(
            f"{name}: the hub has no such model, or it is private; check the name, or log in: hf auth login"
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{name}: cannot be fetched and was not fetched before ({reason}); go online once"
        ) from error


def _uploaded(folder: Path, name: HubName, *, private: bool) -> str:
    """Upload the files of a folder; return the address of the repository."""
    with needs_extra("trisep push"):
        from huggingface_hub import HfApi

    api = HfApi()
    try:
        address = api.create_repo(name.repository, private=private, exist_ok=True)
        if name.revision:
            api.create_branch(name.repository, branch=name.revision, exist_ok=True)
        api.upload_folder(
            repo_id=name.repository,
            folder_path=folder,
            revision=name.revision,
            commit_message="A checkpoint of trisep",
        )
    except Exception as error:  # A network that fails is an error of the hub's HTTP client, which has no base here.
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{name}: cannot be pushed ({reason}); check the connection, and log in: hf auth login"
        ) from error
    return str(address)


def _require_own(place: Path) -> None:
    """Raise CheckpointError where a folder of the hub holds anything but what is pushed, which replaces it whole."""
    pushed = {*CHECKPOINT_FILES, _README, SUMS}
    others = sorted(entry.name for entry in place.iterdir() if entry.name not in pushed) if place.is_dir() else []
    if others:
        raise CheckpointError(
            f"{place}: holds other things ({others[0]}), which a checkpoint would replace; push to another name, or "
            "move them away"
        )


def _fill(folder: Path, checkpoint: Path, name: HubName, card: Mapping[str, Any]) -> None:
    """Write into a folder what a repository holds."""
    for file in CHECKPOINT_FILES:
        shutil.copyfile(checkpoint / file, folder / file)
    # A card may hold halves of characters, which JSON can write and UTF-8 cannot.
    (folder / _README).write_text(readme(name, card), encoding="utf-8", errors="backslashreplace")
    sums = [f"{sha256_of(folder / file)}  {file}\n" for file in (*CHECKPOINT_FILES, _README)]
    (folder / SUMS).write_text("".join(sums), encoding="utf-8")


def _verify(folder: Path, name: HubName) -> None:
    """Raise CheckpointError unless the files of a checkpoint are those that its sums name."""
    try:
        if not (folder / SUMS).is_file():
            raise OSError("it is not a regular file")  # a pipe would be waited for
        rows = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{name}: not a model that trisep pushed ({SUMS} is missing or unreadable)") from error
    sums = {file: digest for digest, _, file in (row.partition("  ") for row in rows)}
    for file in CHECKPOINT_FILES:
        if not (folder / file).is_file():
            raise CheckpointError(f"{name}: {file} is missing; push it once more")
        digest = sha256_of(folder / file)
        if digest != sums.get(file):
            raise CheckpointError(
                f"{folder / file}: expected sha256 {sums.get(file, 'none')[:12]}…, got {digest[:12]}…; the file was "
                "altered or cut off: remove this folder and fetch it again"
            )
