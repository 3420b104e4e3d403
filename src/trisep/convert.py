"""`trisep import`: state dicts that the papers' authors published → checkpoints of this project. Nothing in a file is ever run.

The published U-Net is nested: each block holds its level's layers and the next block. Two layouts of it exist,

    clipsep, clipsep-nit    sound_net.unet_block.model.1.model.3.….model.LAYER.NAME    layers numbered in the order they are passed
    clipsep-middle          sound_net.unet_block.submodule.….submodule.LAYER.NAME      layers named

and both become `unet.down.LEVEL` and `unet.up.LEVEL`. The network's shape is read off the tensors.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from trisep.arguments import ImportArguments, PublishedKind
from trisep.checkpoint import git_revision, save_model
from trisep.encoders import SharedEncoder, load_encoder
from trisep.encoders.tensor_archive import read_tensors
from trisep.errors import CheckpointError, ConfigError
from trisep.models import model_module
from trisep.networks.audio_unet import UNetConfig
from trisep.types import SignalSettings

MODEL_NAMES: dict[PublishedKind, str] = {"clipsep": "clipsep", "clipsep-nit": "clipsep_nit", "clipsep-middle": "clipsep_middle"}
"""Which of our models a published kind becomes."""
_BESIDE_THE_UNET = {
    "sound_net.bn0": "unet.input_norm",
    "frame_net": "query_projection",
    "synth_net": "fusion",
    "pit_nets": "noise_projections",
}
_NOT_USED = "(not used)"


def run(arguments: ImportArguments) -> int:
    """`trisep import`: convert, print where the checkpoint lies and what it is; returns the exit code."""
    import_checkpoint(arguments.file, arguments.kind, arguments.out, encoder=load_encoder(arguments.encoder))
    print(f"{arguments.out}: {arguments.kind} from {arguments.file}, to be asked through encoder {arguments.encoder}")
    return 0


def import_checkpoint(file: Path, kind: PublishedKind, out: Path, *, encoder: SharedEncoder) -> None:
    """Write a published state dict as the checkpoint folder `out`, which `trisep.load` and `trisep separate --model` take.

    Args:
        file: the published file: a PyTorch state dict, a training checkpoint that holds one, or safetensors.
        kind: which of the published networks it is.
        out: folder to write; one that is there is replaced.
        encoder: the frozen encoder that the network was trained on; the file does not name it.

    Raises CheckpointError when the file cannot be read as tensors, is not of that kind, or does not fit the encoder. The signal settings
    are those of the paper (16 kHz, window 1024, hop 256), which the file does not hold either.
    """
    network = published_network(read_tensors(file), kind, file=file)
    if network.config.embedding_dim != encoder.dim:  # type: ignore[union-attr]
        raise CheckpointError(
            f"{file}: was trained on embeddings of {network.config.embedding_dim} dimensions, "  # type: ignore[union-attr]
            f"encoder '{encoder.name}' gives {encoder.dim}; name the right one with --encoder"
        )
    card: dict[str, Any] = {
        "signal": asdict(SignalSettings()),
        "encoder": encoder.name,
        "encoder_fingerprint": encoder.fingerprint,
        "description": f"{kind} imported from {file.name}",
        "imported": {"file": file.name, "kind": kind, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()},
        "git_revision": git_revision(),
    }
    save_model(out, network, model_name=MODEL_NAMES[kind], card=card)


def published_network(tensors: Mapping[str, Tensor], kind: PublishedKind, *, file: Path = Path("checkpoint")) -> nn.Module:
    """The network of a published state dict, float32, in evaluation mode. CheckpointError, which names `file`, when it is of another kind.

    A prefix `module.`, which training on several GPUs leaves, is taken off.
    """
    tensors = {key.removeprefix("module."): value for key, value in tensors.items()}
    if (found := _kind_of(tensors)) != kind:
        reason = (
            f"looks like {found}" if found else "is not a published CLIPSep state dict: it lacks frame_net.weight or sound_net.unet_block"
        )
        raise CheckpointError(f"{file}: expected a state dict of {kind}, but it {reason}; give the file and --as that belong together")
    num_levels = 1 + max(_level(key) for key in tensors)
    state: dict[str, Tensor] = {}
    for key, value in tensors.items():
        ours = _our_key(key, num_levels)
        if ours is None:
            raise CheckpointError(f"{file}: holds '{key}', which no {kind} state dict has; get the published file")
        # Middle fusion's published network has a synth_net, too, and never reads it.
        if ours != _NOT_USED and not (kind == "clipsep-middle" and ours.startswith("fusion.")):
            state[ours] = value.float() if value.is_floating_point() else value
    try:
        network: nn.Module = _config(state, kind, num_levels).build()
        network.load_state_dict(state)
    except (KeyError, TypeError, ValueError, ConfigError, RuntimeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{file}: its tensors do not make a {kind} network ({reason}); get the published file") from error
    return network.eval()


def _kind_of(tensors: Mapping[str, Tensor]) -> PublishedKind | None:
    """Which published network has such keys."""
    if "frame_net.weight" not in tensors or not any(key.startswith("sound_net.unet_block.") for key in tensors):
        return None
    if any(key.startswith("sound_net.unet_block.submodule.") for key in tensors):
        return "clipsep-middle"
    return "clipsep-nit" if any(key.startswith("pit_nets.") for key in tensors) else "clipsep"


def _config(state: Mapping[str, Tensor], kind: PublishedKind, num_levels: int) -> Any:
    """The configuration that tensors under our names have, read off their shapes."""
    widths = [len(state[f"unet.down.{level}.{int(level > 0)}.weight"]) for level in range(num_levels)]
    unet = UNetConfig(
        num_levels=num_levels,
        base_width=widths[0],
        max_width=max(widths[:-1]),
        bottleneck_width=widths[-1],
        out_channels=len(state[f"unet.up.{num_levels - 1}.2.weight"]),
    )
    num_masks, embedding_dim = state["query_projection.weight"].shape
    settings: dict[str, Any] = {"embedding_dim": embedding_dim, "unet": unet}
    if kind == "clipsep-middle":
        settings["condition_channels"] = num_masks
    if kind == "clipsep-nit":
        heads = {key.split(".")[1] for key in state if key.startswith("noise_projections.")}
        settings |= {"num_noise_heads": len(heads), "noise_query": "mean_of_projections"}
    return model_module(MODEL_NAMES[kind]).Config(**settings)


def _level(key: str) -> int:
    """How deep inside the nested blocks a tensor lies; 0 for the outermost block and for what is beside the U-Net."""
    parts = key.split(".")
    return max(parts.count("submodule"), parts.count("model") - 1, 0)


def _our_key(key: str, num_levels: int) -> str | None:
    """Our name of a published tensor; `_NOT_USED` for one that the published network holds and never reads, None for an unknown one."""
    path, _, name = key.rpartition(".")
    for theirs, ours in _BESIDE_THE_UNET.items():
        if path == theirs or path.startswith(f"{theirs}."):
            return f"{ours}{path.removeprefix(theirs)}.{name}"
    if not path.startswith("sound_net.unet_block."):
        return None
    level, layer = _level(key), path.rpartition(".")[2]
    outermost, innermost = level == 0, level == num_levels - 1
    if layer.isdecimal():  # a block passes: activation, convolution, normalisation, inner block, activation, upsampling, convolution, …
        layers = ["", "downconv", "downnorm", "", "", "", "upconv", "upnorm"]
        if outermost or innermost:
            layers = ["downconv", "", "", "", "upconv"] if outermost else ["", "downconv", "", "", "upconv", "upnorm"]
        layer = layers[int(layer)] if int(layer) < len(layers) else ""
    if layer == "downnorm" and (outermost or innermost):
        return _NOT_USED
    down, up = f"unet.down.{level}", f"unet.up.{num_levels - 1 - level}"
    places = {"downconv": f"{down}.{int(not outermost)}", "downnorm": f"{down}.2", "upconv": f"{up}.2", "upnorm": f"{up}.3"}
    return f"{places[layer]}.{name}" if layer in places else None
