"""Every layout gives the same network; a file that is not a tensor archive is refused and never run."""

import json
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_clip import save_script_archive, tiny_state

from trisep.encoders.clip import CLIPEncoder
from trisep.encoders.clip_weights import load_clip
from trisep.encoders.tensor_archive import read_tensors
from trisep.errors import CheckpointError


def half_precision_state(kind):
    """Weights that float16 holds exactly, as OpenAI's do."""
    return {
        name: value.half().float() if value.is_floating_point() else value for name, value in tiny_state(kind).items()
    }


@pytest.fixture(scope="module", params=["resnet", "vit"])
def state(request):
    return half_precision_state(request.param)


def as_hugging_face(state):
    """An inverse of the reader's renaming, written by table."""
    table = {
        "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
        "positional_embedding": "text_model.embeddings.position_embedding.weight",
        "visual.class_embedding": "vision_model.embeddings.class_embedding",
        "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
        "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
        "text_projection": "text_projection.weight",
        "visual.proj": "visual_projection.weight",
        "logit_scale": "logit_scale",
    }
    parts = [
        ("visual.transformer.resblocks.", "vision_model.encoder.layers."),
        ("transformer.resblocks.", "text_model.encoder.layers."),
        ("visual.ln_pre.", "vision_model.pre_layrnorm."), ("visual.ln_post.", "vision_model.post_layernorm."),
        ("ln_final.", "text_model.final_layer_norm."), ("attn.", "self_attn."),
        ("ln_1.", "layer_norm1."), ("ln_2.", "layer_norm2."),
        ("mlp.c_fc.", "mlp.fc1."), ("mlp.c_proj.", "mlp.fc2."),
    ]  # fmt: skip
    renamed = {"text_model.embeddings.position_ids": torch.arange(77)[None]}
    for name, value in state.items():
        new = table.get(name)
        if new is None:
            new = name
            for old_part, new_part in parts:
                new = new.replace(old_part, new_part)
        if "in_proj_" in new:
            for letter, part in zip("qkv", value.chunk(3), strict=True):
                renamed[new.replace("in_proj_", f"{letter}_proj.")] = part.clone()
        else:
            renamed[new] = value.T.contiguous() if name in ("text_projection", "visual.proj") else value
    return renamed


def save_layout(state, folder: Path, layout: str) -> Path:
    if layout == "safetensors":
        save_file(state, folder / "model.safetensors")
        return folder
    if layout == "script archive":
        save_script_archive(state, folder / "RN50.pt")
        return folder / "RN50.pt"
    if layout == "old pickle":
        torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
        return folder
    if layout == "open_clip training":
        named = {f"module.{name}": value for name, value in state.items()}
        torch.save({"epoch": 3, "name": "run", "state_dict": named, "optimizer": {"state": {}}}, folder / "epoch_3.pt")
        return folder / "epoch_3.pt"
    if layout == "open_clip custom text":
        config = {"model_cfg": {"quick_gelu": True, "text_cfg": {"heads": 1}}}
        (folder / "open_clip_config.json").write_text(json.dumps(config))
        named = {
            name if name.startswith(("visual.", "logit")) else f"text.{name}": value for name, value in state.items()
        }
        save_file(named, folder / "open_clip_model.safetensors")
        return folder
    if layout == "hugging face":
        save_file(as_hugging_face(state), folder / "model.safetensors")
        return folder
    torch.save(state, folder / "plain.pt")
    return folder / "plain.pt"


@pytest.mark.parametrize(
    "layout", ["plain", "old pickle", "script archive", "open_clip training", "open_clip custom text", "hugging face"]
)
@pytest.mark.parametrize("kind", ["resnet", "vit"])
def test_layouts_give_the_same_network(tmp_path, kind, layout):
    state = half_precision_state("vit" if layout == "hugging face" else kind)  # Transformers has no CLIP with a ResNet.
    network, fingerprint = load_clip(save_layout(state, tmp_path, layout))
    for name, value in network.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(value, state[name]), name
    (tmp_path / "again").mkdir()
    save_file(state, tmp_path / "again" / "model.safetensors")
    assert load_clip(tmp_path / "again")[1] == fingerprint


def test_fingerprint_changes_with_a_weight_and_with_the_activation(tmp_path, state):
    save_file(state, tmp_path / "model.safetensors")
    first = CLIPEncoder(tmp_path).fingerprint
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": {"text_cfg": {"heads": 1}}}))
    assert CLIPEncoder(tmp_path).fingerprint != first
    (tmp_path / "open_clip_config.json").unlink()
    changed = {**state, "text_projection": state["text_projection"] + 1e-3}
    save_file({**changed, "logit_scale": torch.tensor(0.0)}, tmp_path / "model.safetensors")
    assert CLIPEncoder(tmp_path).fingerprint != first
    save_file({**state, "logit_scale": torch.tensor(0.0)}, tmp_path / "model.safetensors")
    assert CLIPEncoder(tmp_path).fingerprint == first


class Command:
    """Pickles to a call of os.system."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("container", ["bare", "torch.save", "script archive", "script class", "old pickle"])
def test_a_pickle_that_runs_something_is_refused(tmp_path, container):
    marker, path = tmp_path / "it_ran", tmp_path / "model.pt"
    data = pickle.dumps({"token_embedding.weight": Command(marker)}, protocol=2)
    pickle.loads(data)
    assert marker.exists()
    marker.unlink()
    if container == "bare":
        path.write_bytes(data)
    elif container == "torch.save":
        torch.save({"token_embedding.weight": Command(marker)}, path)
    elif container == "old pickle":
        torch.save({"token_embedding.weight": Command(marker)}, path, _use_new_zipfile_serialization=False)
    else:
        if container == "script class":
            # A name that an archive may use for its classes, but for a call of a function that is none.
            data = data.replace(b"cposix\nsystem\n", b"c__torch__.posix\nsystem\n")
        with zipfile.ZipFile(path, "w") as archive:
            for record, content in {
                "data.pkl": data,
                "constants.pkl": data,
                "version": b"3\n",
                "code/__torch__.py": b"import os",
            }.items():
                archive.writestr(f"RN50/{record}", content)
    with pytest.raises(
        CheckpointError, match=r"model\.pt: is not an archive of tensors, or is damaged; nothing in it was run"
    ):
        load_clip(path)
    assert not marker.exists()


def test_damaged_files(tmp_path, state):
    for layout in ("safetensors", "plain", "script archive", "old pickle"):
        folder = tmp_path / layout
        folder.mkdir()
        saved = save_layout(state, folder, layout)
        path = saved if saved.is_file() else next(saved.iterdir())
        content = path.read_bytes()
        for length in (0, 5, 100, len(content) // 2):
            path.write_bytes(content[:length])
            with pytest.raises(CheckpointError, match=path.name):
                load_clip(path)
        path.write_bytes(content)
        load_clip(path)


def test_compressed_script_archive_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(10000))
        archive.writestr("a/constants.pkl", b"")
    with pytest.raises(CheckpointError, match="its records are compressed"):
        read_tensors(tmp_path / "a.pt")


def test_what_is_no_clip(tmp_path, state):
    def refused(tensors, message):
        save_file(tensors, tmp_path / "model.safetensors")
        with pytest.raises(CheckpointError, match=message):
            load_clip(tmp_path)

    refused({"layer.weight": torch.zeros(2, 2)}, "is not a CLIP checkpoint in OpenAI's, .* it holds layer.weight")
    words_only = {name: value for name, value in state.items() if not name.startswith("visual.")}
    refused(words_only, "is not a CLIP with a ResNet or ViT image tower")
    missing = "transformer.resblocks.0.ln_1.bias"
    refused(
        {name: value for name, value in state.items() if name != missing}, f"do not fit together as a CLIP: .*{missing}"
    )
    refused({**state, "text_projection": torch.zeros(65, 24)}, "do not fit together as a CLIP: .*text_projection")
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match="expected a dictionary of tensors, got list"):
        load_clip(tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match="no such file or folder"):
        load_clip(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="holds no CLIP weights; expected one of"):
        load_clip(tmp_path / "empty")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"text_config": {"hidden_act": "relu"}, "vision_config": {"hidden_act": "relu"}},
            "hidden_act must be quick_gelu or gelu",
        ),
        ({"text_config": {"num_attention_heads": 7}}, "width 64 does not divide into 7 heads"),
        ({"text_config": {"num_attention_heads": "many"}}, r"config\.json: is not a CLIP configuration"),
        ("{", r"config\.json: is not a CLIP configuration"),
    ],
)
def test_configurations_that_do_not_fit(tmp_path, config, message):
    save_file(tiny_state("vit"), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    with pytest.raises(CheckpointError, match=message):
        load_clip(tmp_path)
