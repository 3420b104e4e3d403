"""Random CLIPs of a few thousand weights, in the layouts in which real ones are published, and a small vocabulary in
CLIP's formats.
"""

import gzip
import json
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from trisep.encoders.clip_tokenizer import END, OPENAI_VOCABULARY, START, byte_alphabet
from trisep.encoders.clip_towers import CLIPNetwork, ModifiedResNet, VisionTransformer

MERGES = [
    ("c", "a"),
    ("ca", "t</w>"),
    ("o", "f</w>"),
    ("p", "h"),
    ("ph", "o"),
    ("t", "o</w>"),
    ("pho", "to</w>"),
    ("'", "s</w>"),
]
VOCABULARY = 512 + len(MERGES) + 2


def tiny_state(kind: str, seed: int = 0) -> dict[str, Tensor]:
    """State dict with OpenAI's names: pictures of 64 pixels, D = 24, one head in every layer."""
    torch.manual_seed(seed)
    visual = (
        ModifiedResNet(num_blocks=(1, 2, 1, 1), width=8, grid=2, num_heads=4, embedding_dim=24)
        if kind == "resnet"
        else VisionTransformer(patch=16, grid=4, width=64, num_layers=2, num_heads=1, embedding_dim=24, quick_gelu=True)
    )
    sizes = {"vocabulary": VOCABULARY, "context": 77, "width": 64, "num_layers": 2, "num_heads": 1, "embedding_dim": 24}
    network = CLIPNetwork(visual, **sizes, quick_gelu=True)
    for name, value in network.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2)
        elif name.endswith("bn1.weight") or name.endswith("bn2.weight") or name.endswith("bn3.weight"):
            value.uniform_(0.5, 1.5)
        elif value.is_floating_point():
            value.normal_(std=0.15)
    return {**network.state_dict(), "logit_scale": torch.tensor(4.6)}


def save_script_archive(state: dict[str, Tensor], path: Path) -> None:
    """As OpenAI publishes: a TorchScript archive, float16, with a few tensors that are no weights."""
    root = nn.Module()
    extras = {
        "input_resolution": torch.tensor(64),
        "context_length": torch.tensor(77),
        "vocab_size": torch.tensor(VOCABULARY),
    }
    for name, value in {**state, **extras}.items():
        *path_names, last = name.split(".")
        owner = root
        for part in path_names:
            if not hasattr(owner, part):
                owner.add_module(part, nn.Module())
            owner = getattr(owner, part)
        half = value.half() if value.is_floating_point() else value
        owner.register_buffer(last, half)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.save(torch.jit.script(root), str(path))


def save_vocabulary(folder: Path, layout: str) -> None:
    """`MERGES` as vocab.json + merges.txt, as OpenAI's list, or as tokenizer.json."""
    alphabet = byte_alphabet()
    tokens = [*alphabet, *(f"{letter}</w>" for letter in alphabet), *("".join(pair) for pair in MERGES), START, END]
    lines = "#version: 0.2\n" + "\n".join(" ".join(pair) for pair in MERGES) + "\n"
    if layout == "openai":
        with gzip.open(folder / OPENAI_VOCABULARY, "wt", encoding="utf-8") as file:
            file.write(lines)
        return
    vocabulary = {token: number for number, token in enumerate(tokens)}
    if layout == "merges":
        (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
        (folder / "merges.txt").write_text(lines, encoding="utf-8")
        return
    from transformers import CLIPTokenizer

    CLIPTokenizer(vocab=vocabulary, merges=MERGES).backend_tokenizer.save(str(folder / "tokenizer.json"))
