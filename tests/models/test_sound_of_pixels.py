"""Sound of Pixels: masks by the strongest features of the frames."""

import pytest
import torch
from torch.nn import functional as F

from trisep.errors import ConfigError
from trisep.models.sound_of_pixels import Config, SoundOfPixels
from trisep.types import QueryEmbedding


def network() -> SoundOfPixels:
    torch.manual_seed(0)
    return Config.tiny().build().eval()


def spectrogram() -> torch.Tensor:
    return torch.randn(2, 1, 256, 8, generator=torch.Generator().manual_seed(0)) * 3 - 5


def frames(num_frames: int = 3) -> torch.Tensor:
    return torch.randint(
        0, 256, (2, 2, num_frames, 3, 48, 64), generator=torch.Generator().manual_seed(1), dtype=torch.uint8
    )


def test_the_masks_are_late_fusion_by_the_strongest_features_of_the_frames() -> None:
    model = network()
    output = model(spectrogram(), QueryEmbedding(frames=frames()))
    intermediate = model.unet(spectrogram())
    assert torch.equal(output.bottleneck, model.unet.encode(spectrogram())[-1])
    for query in range(2):
        strongest = torch.full((2, 4), -torch.inf)
        for frame in range(3):
            pixels = frames()[:, query, frame].float() / 255
            mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
            seen = model.image_network((pixels - mean[:, None, None]) / deviation[:, None, None])
            maps = F.conv2d(seen, model.image_head.weight, model.image_head.bias, padding=1)
            assert maps.shape == (2, 4, 3, 4)
            strongest = torch.maximum(strongest, maps.flatten(2).max(dim=2).values)
        weights = strongest.sigmoid() * model.fusion.scale
        expected = torch.einsum("bk,bkft->bft", weights, intermediate) + model.fusion.bias
        torch.testing.assert_close(output.logits[:, query], expected)


def test_neither_the_order_of_the_frames_nor_one_seen_twice_changes_the_masks() -> None:
    model = network()
    masks = model(spectrogram(), QueryEmbedding(frames=frames())).masks
    again = torch.cat([frames().flip(2), frames()[:, :, :1]], dim=2)
    torch.testing.assert_close(model(spectrogram(), QueryEmbedding(frames=again)).masks, masks)
    fewer = model(spectrogram(), QueryEmbedding(frames=frames()[:, :, :1])).masks
    assert not torch.allclose(fewer, masks)


def test_the_image_network_is_dilated_and_as_wide_as_resnet18_by_default() -> None:
    with torch.device("meta"):
        model = Config().build()
    assert model.image_network.conv1.weight.shape == (64, 3, 7, 7)
    assert model.image_head.weight.shape == (32, 512, 3, 3)
    convolutions = [module for module in model.image_network.layer4.modules() if isinstance(module, torch.nn.Conv2d)]
    assert [(layer.stride[0], layer.dilation[0]) for layer in convolutions] == [(1, 1), (1, 2), (1, 1), (1, 2), (1, 2)]
    assert model.contract.reads == "frames"


def test_a_query_of_another_kind_and_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="Sound of Pixels reads frames, and the query carries none"):
        network()(spectrogram(), QueryEmbedding(vectors=torch.zeros(2, 1, 8)))
    with pytest.raises(ConfigError, match="image_width: expected at least 1, got 0"):
        Config(image_width=0)
    assert Config(image_width=1).build().image_head.weight.shape == (32, 8, 3, 3)
