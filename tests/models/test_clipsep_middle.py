"""CLIPSep with the query in the middle: one decoding a query."""

import dataclasses

import pytest
import torch

from trisep.errors import ConfigError
from trisep.models.clipsep_middle import Config
from trisep.networks.audio_unet import UNetConfig
from trisep.types import QueryEmbedding


def test_the_masks_are_those_of_one_decoding_a_query() -> None:
    torch.manual_seed(0)
    network = dataclasses.replace(Config.tiny(), normalize_query=True, query_scale=3.0).build().eval()
    picture, vectors = torch.randn(2, 1, 256, 8) * 3 - 5, torch.randn(2, 3, 8)
    with torch.inference_mode():
        output = network(picture, QueryEmbedding(vectors=vectors))
        maps = network.unet.encode(picture)
        for query in range(3):
            unit = vectors[:, query] / vectors[:, query].norm(dim=-1, keepdim=True)
            condition = torch.sigmoid(3 * unit @ network.query_projection.weight.T + network.query_projection.bias)
            tiled = condition[:, :, None, None] * torch.ones(2, 4, *maps[-1].shape[2:])
            decoded = network.unet.decode([*maps[:-1], torch.cat([maps[-1], tiled], dim=1)])
            torch.testing.assert_close(output.masks[:, query], decoded.sigmoid()[:, 0])
    assert torch.equal(output.bottleneck, maps[-1])


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"unet\.out_channels: .*expected 1, got 32"):
        Config(unet=UNetConfig())
    with pytest.raises(ConfigError, match="condition_channels: expected at least 1, got 0"):
        Config(condition_channels=0)
    assert Config(condition_channels=1).condition_channels == 1
