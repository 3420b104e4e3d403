"""Checkpoint folders and weight files of others, with changed cards, tensors, archives, and files that are no files."""

import io
import json
import os
import shutil
import zipfile
from dataclasses import asdict
from pathlib import Path
from random import Random

import torch
from safetensors.torch import save_file

from benchmarks.fuzz.mutations import mutated_bytes, mutated_json
from trisep.checkpoints.card import card_lines
from trisep.checkpoints.format import load_model, load_state, save_model, save_state
from trisep.checkpoints.published import import_checkpoint
from trisep.checkpoints.registry import read_model_card
from trisep.encoders.clip_weights import load_clip
from trisep.encoders.tensor_archive import read_tensors
from trisep.models import model_module, model_names
from trisep.training.initialisation import start_entry
from trisep.types import SignalSettings


def prepare(folder: Path) -> None:
    """Write a tiny checkpoint of every model, a training state, and weights in every kind of archive."""
    card = {
        "signal": asdict(SignalSettings()), "encoder": "lite", "encoder_fingerprint": "0", "reach_frames": 9, "step": 3,
        "recipe": {"name": "hfra"}, "metrics": {"a": {"b": 1.0}}, "presence": {"slope": 1.0, "offset": 0.0},
    }  # fmt: skip
    for number, name in enumerate(model_names()):
        torch.manual_seed(number)
        network = model_module(name).Config.tiny().build()
        save_model(folder / "models" / name, network, model_name=name, card=card, packed=number % 2 == 0)
    save_state(folder / "state", {"a": torch.randn(3), "optimizer.0.step": torch.tensor(1.0)}, {"step": 3})
    state = {
        "token_embedding.weight": torch.randn(9, 8),
        "text_projection": torch.randn(8, 8),
        "visual.proj": torch.randn(8, 8),
    }
    archives = folder / "archives"
    archives.mkdir(exist_ok=True)
    torch.save({"state_dict": state}, archives / "zip.pt")
    torch.save(state, archives / "legacy.pth", _use_new_zipfile_serialization=False)
    save_file(state, archives / "plain.safetensors")
    (archives / "bomb.pt").write_bytes(_bomb())
    shutil.copyfile(folder / "models" / "clipsep" / "model.safetensors", archives / "network.bin")
    with (
        zipfile.ZipFile(archives / "zip.pt") as source,
        zipfile.ZipFile(archives / "deflated.pt", "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))


def attempt(generator: Random, examples: Path, folder: Path) -> None:
    """Load a mutant in each way that a command would."""
    kind = generator.randrange(10)
    if kind <= 6:
        model = folder / "model"
        shutil.copytree(generator.choice(sorted((examples / "models").iterdir())), model)
        _spoil(generator, model / generator.choice(("config.json", "config.json", "config.json", "model.safetensors")))
        "\n".join(card_lines(read_model_card(model)))
        start_entry(model)
        load_model(model)
    elif kind == 7:
        shutil.copytree(examples / "state", folder / "state")
        _spoil(generator, folder / "state" / generator.choice(("state.json", "state.safetensors")))
        load_state(folder / "state")
    else:
        example = generator.choice(sorted((examples / "archives").iterdir()))
        path = folder / example.name
        shutil.copyfile(example, path)
        if path.name != "bomb.pt" or generator.random() < 0.5:
            _spoil(generator, path)
        way = generator.randrange(3)
        if way == 0:
            read_tensors(path)
        elif way == 1:
            load_clip(path)
        else:
            published = generator.choice(("clipsep", "clipsep-nit", "clipsep-middle", "sound-of-pixels"))
            import_checkpoint(path, published, folder / "out", encoder=None)  # type: ignore[arg-type]


def _spoil(generator: Random, path: Path) -> None:
    """Change a file, or put something else in its place."""
    chance = generator.random()
    if chance < 0.08:
        path.unlink()
        _other_thing(generator, path)
    elif path.suffix == ".json" and chance < 0.85:
        path.write_text(mutated_json(generator, json.loads(path.read_text())), errors="surrogatepass")
    elif path.read_bytes()[8:9] == b"{" and chance < 0.6:
        path.write_bytes(_spoil_header(generator, path.read_bytes()))
    else:
        path.write_bytes(mutated_bytes(generator, path.read_bytes()))


def _other_thing(generator: Random, path: Path) -> None:
    """Make a FIFO, a folder, a link to itself, to a device or to nothing, an empty file, or nothing."""
    kind = generator.randrange(6)
    if kind == 0:
        os.mkfifo(path)
    elif kind == 1:
        path.mkdir()
    elif kind <= 4:
        path.symlink_to((path.name, "/dev/zero", "nowhere")[kind - 2])
    elif generator.random() < 0.5:
        path.touch()


def _spoil_header(generator: Random, data: bytes) -> bytes:
    """Change the JSON header of a safetensors file; its length fits again."""
    length = int.from_bytes(data[:8], "little")
    header = mutated_json(generator, json.loads(data[8 : 8 + length])).encode("utf-8", "surrogatepass")
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def _bomb() -> bytes:
    """Return a small archive of torch.save whose one tensor is 400 MB of zeros, deflated."""
    plain, bomb = io.BytesIO(), io.BytesIO()
    torch.save({"state_dict": {"a": torch.zeros(1)}}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target:
        for entry in source.infolist():
            zeros = entry.filename.endswith("data/0")
            target.writestr(entry.filename, bytes(400 << 20) if zeros else source.read(entry))
    return bomb.getvalue()
