"""Co-Separation: one mask for each object, decoded from what its box cuts out, and their sum."""

from dataclasses import replace

import pytest
import torch

from trisep.errors import ConfigError
from trisep.models.co_separation import Config, CoSeparation
from trisep.types import QueryEmbedding

LABELS = torch.tensor([[[2, 0, -1], [1, 1, 3]]])
"""Two objects; an object, the same class again, another object."""


def network() -> CoSeparation:
    torch.manual_seed(0)
    return replace(Config.tiny(), num_boxes=3).build()


def spectrogram() -> torch.Tensor:
    return torch.randn(1, 1, 256, 8, generator=torch.Generator().manual_seed(0)) * 3 - 5


def pictures() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (1, 2, 3, 3, 224, 224), generator=generator, dtype=torch.uint8)


def query() -> QueryEmbedding:
    return QueryEmbedding(frames=pictures(), box_labels=LABELS)


@torch.no_grad()
def mask_of_object(model: CoSeparation, picture: torch.Tensor) -> torch.Tensor:
    """The vector of a picture tiled beside the bottleneck, and the whole decoder over both."""
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normalised = (picture.float() / 255 - mean[:, None, None]) / deviation[:, None, None]
    convolution, norm, _, _, _, linear = model.image_head
    features = norm(convolution(model.image_network(normalised[None]))).relu()
    assert features.shape == (1, 2, 7, 7)
    vector = linear(features.reshape(1, -1))
    maps = model.unet.encode(spectrogram())
    tiled = vector[:, :, None, None].expand(-1, -1, *maps[-1].shape[2:])
    return model.unet.decode([*maps[:-1], torch.cat([maps[-1], tiled], dim=1)]).sigmoid()[0, 0]


def test_the_mask_of_a_video_is_the_sum_over_its_objects_one_of_each_class() -> None:
    model = network().eval()
    found = model(spectrogram(), query())
    for video, objects in enumerate(((0, 1), (0, 2))):
        parts = [mask_of_object(model, pictures()[0, video, number]) for number in objects]
        torch.testing.assert_close(found.masks[0, video], sum(parts).clamp(max=1), rtol=1e-5, atol=1e-5)  # type: ignore[union-attr]
    assert found.parts is None and found.logits is None
    assert torch.equal(found.bottleneck, model.unet.encode(spectrogram())[-1])


def test_the_classifier_hears_what_was_separated_of_each_object() -> None:
    model = network()
    found = model(spectrogram(), query())
    assert found.parts is not None and found.parts.labels.tolist() == [[[2, 0, -1], [1, -1, 3]]]
    assert found.parts.label_logits.shape == (1, 2, 3, 4) and found.parts.vectors.shape == (1, 2, 3, 8)
    model.eval()
    model.unet.output_layer.bias.data.fill_(50.0)  # every mask is 1: each object has the whole mixture
    model.training = True
    heard = model(spectrogram(), query()).parts
    expected = model.classifier.head(model.classifier.network(spectrogram()).amax(dim=(2, 3)))[0]
    for video, part in ((0, 0), (0, 1), (1, 0), (1, 2)):
        torch.testing.assert_close(heard.label_logits[0, video, part], expected, rtol=1e-3, atol=1e-4)
    silence = model.classifier(torch.full_like(spectrogram(), 1e-10).log())[0]
    torch.testing.assert_close(heard.label_logits[0, 0, 2], silence)


def test_settings_that_cannot_be_are_refused() -> None:
    for name in ("num_boxes", "num_labels"):
        with pytest.raises(ConfigError, match=f"{name}: expected at least 1, got 0"):
            Config(**{name: 0})
    for name in ("object_channels", "image_width"):
        with pytest.raises(ConfigError, match="object_channels and image_width must be at least 1"):
            Config(**{name: 0})
    assert Config(num_boxes=1, num_labels=1, object_channels=1, image_width=1).num_boxes == 1
    with pytest.raises(ConfigError, match="so expected 1, got 32"):
        Config(unet=replace(Config().unet, out_channels=32))
    with pytest.raises(ConfigError, match="reads the pictures of boxes"):
        network()(spectrogram(), QueryEmbedding(frames=pictures()))
