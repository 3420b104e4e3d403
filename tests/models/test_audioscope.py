"""AudioScope by its definition: every sound and every query worked out alone."""

from dataclasses import replace

import pytest
import torch

from trisep.errors import ConfigError
from trisep.losses.on_screen import OnScreenLoss
from trisep.models.audioscope import Config
from trisep.types import Mixture, QueryEmbedding, SpectralMixture

CONFIG = replace(Config.tiny(), normalize_query=True, query_scale=3.0)


def spectrogram() -> torch.Tensor:
    return torch.randn(2, 1, 256, 8, generator=torch.Generator().manual_seed(0)) - 3


def query() -> QueryEmbedding:
    return QueryEmbedding(vectors=torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(1)))


def test_a_mask_is_the_sum_of_the_sounds_by_the_probability_that_they_are_shown() -> None:
    torch.manual_seed(0)
    network = CONFIG.build().eval()
    heard, asked = spectrogram(), query()
    assert asked.vectors is not None
    with torch.inference_mode():
        found = network(heard, asked)
        assert torch.equal(found.bottleneck, network.unet.encode(heard)[-1])
        sounds = network.head(network.unet(heard)).exp()
        sounds = sounds / sounds.sum(dim=1, keepdim=True)
        for mixture in range(2):
            for number in range(4):
                vector = asked.vectors[mixture, number]
                seen = network.query_projection(3 * vector / vector.norm())
                expected = torch.zeros(256, 8)
                for mask in sounds[mixture]:
                    alone = (mask * heard[mixture, 0].exp() + 1e-10).log()[None, None]
                    embedded = network.audio_projection(network.audio_encoder.encode(alone)[-1].mean(dim=(0, 2, 3)))
                    expected += network.classifier(torch.cat([seen, embedded])).sigmoid() * mask
                torch.testing.assert_close(found.masks[mixture, number], expected, rtol=1e-4, atol=1e-5)
    assert found.sounds is None and found.logits is None


def test_what_shows_every_sound_gives_out_no_more_than_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = replace(CONFIG, num_sources=40).build()
    monkeypatch.setattr(network, "on_screen", lambda *_: torch.full((2, 4, 40), 50.0))
    masks = network(spectrogram(), query()).masks
    assert masks.max() == 1 and masks.min() > 1 - 1e-5  # sums of forty shares round to both sides of 1


def test_training_tells_of_the_sounds_and_reaches_every_parameter() -> None:
    torch.manual_seed(0)
    network = CONFIG.build().train()
    sounds = network(spectrogram(), query()).sounds
    assert sounds.masks.shape == (2, 3, 256, 8) and sounds.on_screen.shape == (2, 4, 3)
    torch.testing.assert_close(sounds.masks.sum(dim=1), torch.ones(2, 256, 8))
    sources = torch.rand(2, 4, 256, 8)
    mixture = Mixture(sources=torch.zeros(2, 4, 8), interference=None, query=query())
    OnScreenLoss()(network, SpectralMixture(mixture, sources, sources.sum(dim=1))).total.backward()
    still = [name for name, value in network.named_parameters() if value.grad is None or not value.grad.abs().max() > 0]
    assert still == []


def test_the_whole_length_is_heard_and_what_is_missing_is_said() -> None:
    network = Config.tiny().build()
    assert (network.contract.reads, network.contract.time_multiple) == ("vectors", 8)
    assert not network.contract.is_shift_equivariant and network.contract.answers_queries
    with pytest.raises(ConfigError, match="AudioScope reads query vectors, and the query carries none"):
        network(spectrogram(), QueryEmbedding())
    for wrong in ({"num_sources": 0}, {"classifier_width": 0}):
        with pytest.raises(ConfigError, match="num_sources and classifier_width: expected at least 1"):
            replace(Config.tiny(), **wrong)
    least = replace(Config.tiny(), num_sources=1, classifier_width=1).build()
    assert least(spectrogram(), query()).masks.shape == (2, 4, 256, 8)
