"""CLIP checkpoints in OpenAI's, open_clip's and Hugging Face's layout → a network. Nothing in a file is run.

`tensor_archive` reads the files. OpenAI's and open_clip's names are kept; those of transformers' `CLIPModel` are
changed, projections transposed, q, k and v joined.

Sizes come from the tensors. Settings that the tensors do not hold (number of heads, activation) are read from a
`config.json` (Hugging Face) or `open_clip_config.json` beside the file. Without one they are OpenAI's: heads of 64
channels, QuickGELU. This file knows no tokenizer and no pixels.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trisep.encoders.clip_towers import CLIPNetwork, ModifiedResNet, VisionTransformer
from trisep.encoders.tensor_archive import read_tensors
from trisep.errors import CheckpointError, ConfigError
from trisep.media.records import read_json

WEIGHT_FILES = (
    "open_clip_model.safetensors",
    "model.safetensors",
    "open_clip_pytorch_model.bin",
    "pytorch_model.bin",
    "model.pt",
)
"""Names under which the weights in a folder are searched, safest first."""

_DROPPED = ("logit_scale", "logit_bias", "input_resolution", "context_length", "vocab_size", "attn_mask")
_HUGGING_FACE = (
    (r"^text_model\.embeddings\.token_embedding\.", "token_embedding."),
    (r"^text_model\.embeddings\.position_embedding\.weight$", "positional_embedding"),
    (r"^text_model\.final_layer_norm\.", "ln_final."),
    (r"^text_model\.encoder\.layers\.", "transformer.resblocks."),
    (r"^text_projection\.weight$", "text_projection"),
    (r"^visual_projection\.weight$", "visual.proj"),
    (r"^vision_model\.embeddings\.class_embedding$", "visual.class_embedding"),
    (r"^vision_model\.embeddings\.patch_embedding\.weight$", "visual.conv1.weight"),
    (r"^vision_model\.embeddings\.position_embedding\.weight$", "visual.positional_embedding"),
    (r"^vision_model\.pre_layrnorm\.", "visual.ln_pre."),
    (r"^vision_model\.post_layernorm\.", "visual.ln_post."),
    (r"^vision_model\.encoder\.layers\.", "visual.transformer.resblocks."),
    (r"\.layer_norm(\d)\.", r".ln_\1."),
    (r"\.self_attn\.", ".attn."),
    (r"\.mlp\.fc1\.", ".mlp.c_fc."),
    (r"\.mlp\.fc2\.", ".mlp.c_proj."),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class CLIPSettings:
    """The settings that the tensors of a CLIP do not hold."""

    quick_gelu: bool = True
    num_text_heads: int | None = None
    """None means one head per 64 channels."""
    image_head_channels: int = 64


def load_clip(path: Path) -> tuple[CLIPNetwork, str]:
    """Load the network in a file or folder (float32, evaluation mode, frozen), and the fingerprint of its weights.

    The fingerprint is the same for the same weights in any layout. Raises CheckpointError when the file is missing,
    damaged, holds anything but tensors, or is not CLIP.
    """
    file = _weight_file(path)
    state = _openai_names(read_tensors(file), file)
    settings = _settings_beside(file)
    try:
        with torch.device("meta"):
            network = _empty_network(state, settings)
    except (KeyError, AttributeError, IndexError, RuntimeError) as error:
        raise CheckpointError(
            f"{file}: is not a CLIP with a ResNet or ViT image tower ({type(error).__name__} {error})"
        ) from error
    except ValueError as error:
        raise CheckpointError(f"{file}: {error}") from error
    for name in network.state_dict():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(0)
    try:
        network.load_state_dict(state, assign=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{file}: its tensors do not fit together as a CLIP: {reason}") from error
    return network.eval().requires_grad_(False), _fingerprint(state, settings.quick_gelu, network)


def _weight_file(path: Path) -> Path:
    """Return the file itself, or the first file in a folder that has a name of `WEIGHT_FILES`."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise CheckpointError(f"{path}: no such file or folder; give a CLIP checkpoint")
    found = next((path / name for name in WEIGHT_FILES if (path / name).is_file()), None)
    if found is None:
        raise CheckpointError(f"{path}: holds no CLIP weights; expected one of {', '.join(WEIGHT_FILES)}")
    return found


def _openai_names(tensors: dict[str, Tensor], file: Path) -> dict[str, Tensor]:
    """Return the tensors under OpenAI's names, float32; tensors that no embedding needs are left out."""
    state = {re.sub(r"^(module\.)?(text\.)?", "", name): value for name, value in tensors.items()}
    if any(name.startswith("vision_model.") for name in state):
        state = _from_hugging_face(state)
    if "token_embedding.weight" not in state:
        found = ", ".join(list(state)[:3]) or "nothing"
        raise CheckpointError(
            f"{file}: is not a CLIP checkpoint in OpenAI's, open_clip's or Hugging Face's layout; it holds {found} …"
        )
    kept = {
        name: value
        for name, value in state.items()
        if not name.endswith("num_batches_tracked") and name not in _DROPPED
    }
    return {name: value.float().contiguous() if value.is_floating_point() else value for name, value in kept.items()}


def _from_hugging_face(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename transformers' tensors to OpenAI's names."""
    state: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if name.endswith("position_ids"):
            continue
        for pattern, replacement in _HUGGING_FACE:
            name = re.sub(pattern, replacement, name)
        state[name] = value.T if name in ("text_projection", "visual.proj") else value
    for name in [name for name in state if ".attn.q_proj." in name]:
        parts = [state.pop(name.replace("q_proj", part)) for part in ("q_proj", "k_proj", "v_proj")]
        state[name.replace("q_proj.", "in_proj_")] = torch.cat(parts)
    return state


def _settings_beside(file: Path) -> CLIPSettings:
    """Read the settings from the configuration beside the file; absent values are the defaults of that library."""
    for name, key in (("open_clip_config.json", "model_cfg"), ("config.json", "text_config")):
        path = file.parent / name
        if not path.is_file():
            continue
        try:
            config = read_json(path)
            if isinstance(config, dict) and isinstance(config.get(key), dict):
                return _open_clip_settings(config[key]) if key == "model_cfg" else _hugging_face_settings(config)
        except (ConfigError, ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
            raise CheckpointError(f"{path}: is not a CLIP configuration ({error})") from error
    return CLIPSettings()


def _open_clip_settings(config: dict[str, Any]) -> CLIPSettings:
    """Read the settings that stand in open_clip's `model_cfg`."""
    return CLIPSettings(
        quick_gelu=bool(config.get("quick_gelu", False)),
        num_text_heads=int(config.get("text_cfg", {}).get("heads", 8)),
        image_head_channels=int(config.get("vision_cfg", {}).get("head_width", 64)),
    )


def _hugging_face_settings(config: dict[str, Any]) -> CLIPSettings:
    """Read transformers' `CLIPConfig`; ValueError for an activation that is neither of the two in use."""
    text, vision = config["text_config"], config.get("vision_config", {})
    activations = {part.get("hidden_act", "quick_gelu") for part in (text, vision)}
    if not (activations <= {"quick_gelu"} or activations <= {"gelu"}):
        raise ValueError(
            f"hidden_act must be quick_gelu or gelu in both towers, not {' and '.join(sorted(map(str, activations)))}"
        )
    return CLIPSettings(
        quick_gelu=activations == {"quick_gelu"},
        num_text_heads=int(text.get("num_attention_heads", 8)),
        image_head_channels=int(vision.get("hidden_size", 768)) // int(vision.get("num_attention_heads", 12)),
    )


def _empty_network(state: dict[str, Tensor], settings: CLIPSettings) -> CLIPNetwork:
    """Build a network of the sizes that the tensors have."""
    context, width = state["positional_embedding"].shape
    num_heads = settings.num_text_heads or width // 64
    _check_heads("text", width, num_heads)
    return CLIPNetwork(
        _empty_visual(state, settings),
        vocabulary=state["token_embedding.weight"].shape[0],
        context=context,
        width=width,
        num_layers=_count(state, r"transformer\.resblocks\.(\d+)\."),
        num_heads=num_heads,
        embedding_dim=state["text_projection"].shape[1],
        quick_gelu=settings.quick_gelu,
    )


def _empty_visual(state: dict[str, Tensor], settings: CLIPSettings) -> VisionTransformer | ModifiedResNet:
    """Build the image tower: a ViT where there is a `visual.proj`, else a ResNet."""
    embedding_dim = state["text_projection"].shape[1]
    if "visual.proj" in state:
        width, _, _, patch = state["visual.conv1.weight"].shape
        num_heads = width // settings.image_head_channels
        _check_heads("image", width, num_heads)
        return VisionTransformer(
            patch=patch,
            grid=_grid(state["visual.positional_embedding"]),
            width=width,
            num_layers=_count(state, r"visual\.transformer\.resblocks\.(\d+)\."),
            num_heads=num_heads,
            embedding_dim=embedding_dim,
            quick_gelu=settings.quick_gelu,
        )
    num_blocks = (
        _count(state, r"visual\.layer1\.(\d+)\."),
        _count(state, r"visual\.layer2\.(\d+)\."),
        _count(state, r"visual\.layer3\.(\d+)\."),
        _count(state, r"visual\.layer4\.(\d+)\."),
    )
    positions = state["visual.attnpool.positional_embedding"]
    num_heads = positions.shape[1] // settings.image_head_channels
    _check_heads("image", positions.shape[1], num_heads)
    width = state["visual.layer1.0.conv1.weight"].shape[0]
    return ModifiedResNet(
        num_blocks=num_blocks, width=width, grid=_grid(positions), num_heads=num_heads, embedding_dim=embedding_dim
    )


def _check_heads(tower: str, width: int, num_heads: int) -> None:
    """Raise ValueError unless the number of heads divides the width."""
    if num_heads < 1 or width % num_heads:
        raise ValueError(
            f"the {tower} tower's width {width} does not divide into {num_heads} heads; put the model's config.json "
            "beside it"
        )


def _grid(positions: Tensor) -> int:
    """Return the side of the square grid of a positional embedding that has one row more."""
    grid = round((positions.shape[0] - 1) ** 0.5)
    if grid < 1 or 1 + grid**2 != positions.shape[0]:
        raise ValueError(f"the image tower has {positions.shape[0]} positions, expected one more than a square number")
    return int(grid)


def _count(state: dict[str, Tensor], pattern: str) -> int:
    """Count the layers whose names begin with a pattern."""
    count = len({match[1] for match in (re.match(pattern, name) for name in state) if match})
    if not count:
        raise ValueError(f"holds no tensor named like {pattern}; it is not a CLIP with a ResNet or ViT image tower")
    return count


def _fingerprint(state: dict[str, Tensor], quick_gelu: bool, network: CLIPNetwork) -> str:
    """Hash all weights as float32 and the settings that they do not hold, as hexadecimal digits."""
    digest = hashlib.sha256(repr((quick_gelu, network.num_heads, network.visual.num_heads)).encode())
    for name in sorted(name for name in state if not name.endswith("num_batches_tracked")):
        digest.update(f"{name}{tuple(state[name].shape)}".encode())
        digest.update(state[name].numpy().data)
    return digest.hexdigest()
