"""Import of state dicts that the authors of papers published, as checkpoints. Nothing in a file is ever run.

The published U-Net is nested: each block holds the layers of its level and the next block. Two layouts of it exist,

    clipsep, clipsep-nit, sound-of-pixels   sound_net.unet_block.model.1.model.3.….model.LAYER.NAME   numbered layers
    clipsep-middle                          sound_net.unet_block.submodule.….submodule.LAYER.NAME     named layers

and both become `unet.down.LEVEL` and `unet.up.LEVEL`. Sound of Pixels was published as three files, one for each of its
networks. The configuration of the network is derived from the shapes of the tensors. This file knows no training.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from trisep.checkpoints import PublishedKind
from trisep.checkpoints.format import git_revision, read_card, save_model
from trisep.encoders import SharedEncoder, load_encoder
from trisep.encoders.tensor_archive import read_tensors
from trisep.errors import CheckpointError, ConfigError
from trisep.media.files import sha256_of
from trisep.models import model_module
from trisep.networks.audio_unet import UNetConfig
from trisep.types import SignalSettings

MODEL_NAMES: dict[PublishedKind, str] = {
    "clipsep": "clipsep",
    "clipsep-nit": "clipsep_nit",
    "clipsep-middle": "clipsep_middle",
    "sound-of-pixels": "sound_of_pixels",
}
"""Our model for each published kind."""
_NETWORK_FILES = {"sound_net": "sound_best.pth", "frame_net": "frame_best.pth", "synth_net": "synthesizer_best.pth"}
"""CLIPSep's names of the networks of Sound of Pixels, and the files they were published in."""
_WRAPPED = {"net_sound.": "sound_net.", "net_frame.": "frame_net.", "net_synthesizer.": "synth_net."}
"""Sound of Pixels' names of its networks in a state dict that holds all three."""
_BESIDE_THE_UNET = {
    "sound_net.bn0": "unet.input_norm",
    "frame_net.features.0": "image_network.conv1",
    "frame_net.features.1": "image_network.bn1",
    **{f"frame_net.features.{3 + stage}": f"image_network.layer{stage}" for stage in (1, 2, 3, 4)},
    "frame_net.fc": "image_head",
    "frame_net": "query_projection",
    "synth_net": "fusion",
    "pit_nets": "noise_projections",
}
"""Published names of the other parts, and ours; the first that fits counts."""
_NOT_USED = "(not used)"


def import_checkpoint(file: Path, kind: PublishedKind, out: Path, *, encoder: SharedEncoder | str | None) -> None:
    """Write a published state dict as the checkpoint folder `out`, for `trisep.load` and `trisep separate --model`.

    Args:
        file: the published file: a PyTorch state dict, a training checkpoint that holds one, or safetensors. For
            sound-of-pixels also the folder that holds its three files.
        kind: which of the published networks it is.
        out: folder to write; an earlier import of the same file is replaced, and nothing else.
        encoder: the frozen encoder that the network was trained on, or its name; the file does not name it. One given
            by name is loaded only after the file has been read. None for sound-of-pixels, which embeds frames with a
            network of its own; the encoder in its checkpoint is called `none`.

    Raises CheckpointError when the file cannot be read as tensors, is not of that kind, or does not fit the encoder.
    The signal settings are those of the papers (`published_signal`), which the file does not hold either.
    """
    files = _network_files(file, kind)
    tensors = {
        prefix + key.removeprefix("module."): value
        for prefix, path in files.items()
        for key, value in read_tensors(path).items()
    }
    imported = {"kind": kind, "sha256": {path.name: sha256_of(path) for path in files.values()}}
    _require_own(out, imported)
    network = published_network(tensors, kind, file=file)
    encoder = load_encoder(encoder) if isinstance(encoder, str) else encoder
    if encoder is not None and (dim := network.config.embedding_dim) != encoder.dim:  # type: ignore[union-attr]
        raise CheckpointError(
            f"{file}: was trained on embeddings of {dim} dimensions, "
            f"encoder '{encoder.name}' gives {encoder.dim}; name the right one with --encoder"
        )
    card: dict[str, Any] = {
        "signal": asdict(published_signal(kind)),
        "encoder": "none" if encoder is None else encoder.name,
        "encoder_fingerprint": "" if encoder is None else encoder.fingerprint,
        "description": f"{kind} imported from {file.name}",
        "imported": imported,
        "git_revision": git_revision(),
    }
    save_model(out, network, model_name=MODEL_NAMES[kind], card=card)


def _require_own(out: Path, imported: Mapping[str, Any]) -> None:
    """Raise CheckpointError where a folder holds a checkpoint of anything else."""
    if (out / "config.json").exists() and read_card(out).get("imported") != imported:
        raise CheckpointError(
            f"{out}: holds another checkpoint, which is no import of this file; choose another --out, or remove it"
        )


def published_signal(kind: PublishedKind) -> SignalSettings:
    """Return the signal settings of a published network.

    They are 16 kHz and window 1024, for Sound of Pixels 11 025 Hz and window 1022; the hop is 256 in both, and mixtures
    are read as they were recorded.
    """
    whole = SignalSettings(mixture_level_db=None)
    return replace(whole, sample_rate_hz=11025, window_samples=1022) if kind == "sound-of-pixels" else whole


def published_network(
    tensors: Mapping[str, Tensor], kind: PublishedKind, *, file: Path = Path("checkpoint")
) -> nn.Module:
    """Build the network of a published state dict, float32, in evaluation mode.

    CheckpointError, which names `file`, when it is of another kind. A prefix `module.`, which training on several GPUs
    leaves, is removed. The networks of Sound of Pixels, which come as one file each, have `net_sound.`, `net_frame.`
    and `net_synthesizer.` before their names, or `sound_net.`, `frame_net.` and `synth_net.`.
    """
    tensors = {_clipsep_key(key.removeprefix("module.")): value for key, value in tensors.items()}
    if (found := _kind_of(tensors)) != kind:
        raise CheckpointError(f"{file}: expected a state dict of {kind}, but it {_mistake(found, kind)}")
    num_levels = 1 + max(_level(key) for key in tensors)
    state: dict[str, Tensor] = {}
    for key, value in tensors.items():
        ours = _our_key(key, num_levels)
        if ours is None:
            raise CheckpointError(f"{file}: holds '{key}', which no {kind} state dict has; get the published file")
        # The published network of middle fusion has a synth_net, too, and never reads it.
        if ours != _NOT_USED and not (kind == "clipsep-middle" and ours.startswith("fusion.")):
            state[ours] = value.float() if value.is_floating_point() else value
    try:
        network: nn.Module = _config(state, kind, num_levels).build()
        network.load_state_dict(state)
    except (KeyError, TypeError, ValueError, ConfigError, RuntimeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(
            f"{file}: its tensors do not make a {kind} network ({reason}); get the published file"
        ) from error
    return network.eval()


def _network_files(file: Path, kind: PublishedKind) -> dict[str, Path]:
    """Return the files to read, each with the prefix for the names of its tensors.

    It is the file given, or the three of Sound of Pixels in a folder.
    """
    if kind != "sound-of-pixels" or not file.is_dir():
        return {"": file}
    files = {f"{network}.": file / name for network, name in _NETWORK_FILES.items()}
    missing = [path.name for path in files.values() if not path.is_file()]
    if missing:
        expected = ", ".join(_NETWORK_FILES.values())
        raise CheckpointError(
            f"{file}: expected {expected} in this folder, found no {', '.join(missing)}; put the published files there"
        )
    return files


def _clipsep_key(key: str) -> str:
    """Rename a tensor of Sound of Pixels, whose code saved three networks in one, as CLIPSep does; keep other names."""
    for theirs, clipsep in _WRAPPED.items():
        if key.startswith(theirs):
            return clipsep + key.removeprefix(theirs)
    return key


def _mistake(found: PublishedKind | None, kind: PublishedKind) -> str:
    """Describe what is wrong with a state dict of another kind than expected, and name the remedy."""
    if found is not None:
        return f"looks like {found}; give the file and --as that belong together"
    if kind == "sound-of-pixels":
        return f"does not hold all three networks; give the folder with {', '.join(_NETWORK_FILES.values())}"
    lacks = "it lacks frame_net.weight or sound_net.unet_block"
    return f"is not a published CLIPSep state dict: {lacks}; give the file and --as that belong together"


def _kind_of(tensors: Mapping[str, Tensor]) -> PublishedKind | None:
    """Find out which published network has such keys."""
    if not any(key.startswith("sound_net.unet_block.") for key in tensors):
        return None
    if any(key.startswith("frame_net.features.") for key in tensors):
        return "sound-of-pixels" if "synth_net.scale" in tensors else None
    if "frame_net.weight" not in tensors:
        return None
    if any(key.startswith("sound_net.unet_block.submodule.") for key in tensors):
        return "clipsep-middle"
    return "clipsep-nit" if any(key.startswith("pit_nets.") for key in tensors) else "clipsep"


def _config(state: Mapping[str, Tensor], kind: PublishedKind, num_levels: int) -> Any:
    """Derive the configuration from the shapes of tensors under our names."""
    widths = [len(state[f"unet.down.{level}.{int(level > 0)}.weight"]) for level in range(num_levels)]
    unet = UNetConfig(
        num_levels=num_levels,
        base_width=widths[0],
        max_width=max(widths[:-1]),
        bottleneck_width=widths[-1],
        out_channels=len(state[f"unet.up.{num_levels - 1}.2.weight"]),
    )
    if kind == "sound-of-pixels":
        return model_module(MODEL_NAMES[kind]).Config(unet=unet, image_width=len(state["image_network.conv1.weight"]))
    num_masks, embedding_dim = state["query_projection.weight"].shape
    settings: dict[str, Any] = {"embedding_dim": embedding_dim, "unet": unet}
    if kind == "clipsep-middle":
        settings["condition_channels"] = num_masks
    if kind == "clipsep-nit":
        heads = {key.split(".")[1] for key in state if key.startswith("noise_projections.")}
        settings |= {"num_noise_heads": len(heads), "noise_query": "mean_of_projections"}
    return model_module(MODEL_NAMES[kind]).Config(**settings)


def _level(key: str) -> int:
    """Count the nested blocks around a tensor; 0 for the outermost block and for tensors beside the U-Net."""
    parts = key.split(".")
    return max(parts.count("submodule"), parts.count("model") - 1, 0)


def _our_key(key: str, num_levels: int) -> str | None:
    """Return our name of a published tensor.

    It is `_NOT_USED` for a tensor that the published network holds and never reads, and None for an unknown one.
    """
    path, _, name = key.rpartition(".")
    for theirs, ours in _BESIDE_THE_UNET.items():
        if path == theirs or path.startswith(f"{theirs}."):
            return f"{ours}{path.removeprefix(theirs)}.{name}"
    if not path.startswith("sound_net.unet_block."):
        return None
    level, layer = _level(key), path.rpartition(".")[2]
    outermost, innermost = level == 0, level == num_levels - 1
    if (
        layer.isdecimal()
    ):  # a block passes: activation, convolution, normalisation, inner block, activation, upsampling, convolution, …
        layers = ["", "downconv", "downnorm", "", "", "", "upconv", "upnorm"]
        if outermost or innermost:
            layers = ["downconv", "", "", "", "upconv"] if outermost else ["", "downconv", "", "", "upconv", "upnorm"]
        layer = layers[int(layer)] if int(layer) < len(layers) else ""
    if layer == "downnorm" and (outermost or innermost):
        return _NOT_USED
    down, up = f"unet.down.{level}", f"unet.up.{num_levels - 1 - level}"
    places = {
        "downconv": f"{down}.{int(not outermost)}",
        "downnorm": f"{down}.2",
        "upconv": f"{up}.2",
        "upnorm": f"{up}.3",
    }
    return f"{places[layer]}.{name}" if layer in places else None
