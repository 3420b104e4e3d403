"""The alignment losses against plain NumPy, worked out from the papers' equations one sound at a time."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torch import nn

from trisep.losses.alignment import (
    TeacherAlignedLoss,
    VASTLoss,
    audio_language,
    embed_sources,
    representation_alignment,
    tri_modal,
)
from trisep.losses.masks import MaskLoss
from trisep.models import hfra, vast
from trisep.types import Mixture, QueryEmbedding, SpectralMixture


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("own_is_listed", [True, False])
def test_audio_language_is_the_softmax_over_all_captions(own_is_listed: bool) -> None:
    audio, captions = random(3, 5), random(3, 5, seed=1)
    others = random(4, 5, seed=2)
    vocabulary = torch.cat([others, captions]) if own_is_listed else others
    expected = []
    for sound in range(3):
        words = [captions[sound], *others, *(captions[other] for other in range(3) if own_is_listed and other != sound)]
        scores = np.array([cosine(audio[sound].numpy(), one.numpy()) for one in words]) / 0.1
        expected.append(-log_softmax(scores)[0])
    found = audio_language(audio, captions, vocabulary, temperature=0.1)
    assert float(found) == pytest.approx(np.mean(expected), rel=1e-5)


def test_audio_language_falls_where_the_sound_nears_its_caption() -> None:
    captions, vocabulary = random(2, 5, seed=1), random(6, 5, seed=2)
    audio = random(2, 5).requires_grad_()
    loss = audio_language(audio, captions, vocabulary, temperature=0.1)
    (gradient,) = torch.autograd.grad(loss, audio)
    assert audio_language(audio - 0.05 * gradient, captions, vocabulary, temperature=0.1) < loss
    assert audio_language(3.0 * captions, captions, vocabulary, temperature=0.01) < 1e-3


def test_tri_modal_is_the_divergence_of_two_attentions_summed_over_regions() -> None:
    regions, captions, audio = random(2, 2, 3, 2, 2, 5), random(2, 2, 5, seed=1), random(2, 2, 5, seed=2)
    divergences = []
    for mixture in range(2):
        for source in range(2):
            for frame in range(3):
                cells = regions[mixture, source, frame].reshape(4, 5).numpy()
                logs = [
                    log_softmax([cosine(cell, vectors[mixture, source].numpy()) / 0.5 for cell in cells])
                    for vectors in (captions, audio)
                ]
                divergences.append(np.sum(np.exp(logs[0]) * (logs[0] - logs[1])))
    assert float(tri_modal(regions, captions, audio, temperature=0.5)) == pytest.approx(np.mean(divergences), rel=1e-5)
    assert float(tri_modal(regions, captions, 2 * captions)) == pytest.approx(0, abs=1e-5)


def test_representation_alignment_by_hand() -> None:
    audio, teacher = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[3.0, 0.0], [1.0, 1.0]])
    assert float(representation_alignment(audio, teacher)) == pytest.approx(1 - (1 + 0.5**0.5) / 2)


def spectral_mixture(dim: int, *, captions: bool = True) -> SpectralMixture:
    sources = random(2, 2, 256, 16).abs()
    given = random(2, 2, dim, seed=3) if captions else None
    mixture = Mixture(
        sources=torch.zeros(2, 2, 10),
        interference=None,
        query=QueryEmbedding(regions=random(2, 2, 1, 2, 2, dim, seed=4), vectors=random(2, 2, dim, seed=6)),
        captions=given,
        vocabulary=random(7, dim, seed=5),
        teacher=random(2, dim, seed=7),
    )
    return SpectralMixture(mixture, sources, sources.sum(dim=1))


def test_the_audio_embedding_is_of_the_masked_mixture() -> None:
    torch.manual_seed(0)
    network = vast.Config.tiny().build().eval()
    batch = spectral_mixture(8)
    masks = torch.rand(2, 2, 256, 16)
    found = embed_sources(network, masks, batch.magnitude)
    alone = network.embed_audio(torch.log(masks[1, 0] * batch.magnitude[1] + 1e-10)[None, None])
    torch.testing.assert_close(found[1, 0], alone[0], rtol=1e-4, atol=1e-5)


def test_vast_sums_the_terms_that_have_a_weight() -> None:
    torch.manual_seed(0)
    network = vast.Config.tiny().build().train()
    batch = spectral_mixture(8)
    terms = VASTLoss(caption_mask_weight=1e-3)(network, batch)
    assert terms.weighted.keys() == {"mask", "tri_modal", "audio_language", "caption_mask"}
    assert float(terms.total.detach()) == pytest.approx(
        sum(float(value.detach()) for value in terms.weighted.values()), rel=1e-6
    )
    assert -1 <= float(terms.observed["caption_cosine"]) <= 1
    single = VASTLoss(tri_modal_weight=0.0, audio_language_weight=0.0)
    assert single(network, spectral_mixture(8, captions=False)).weighted.keys() == {"mask"}
    assert (VASTLoss().needs, single.needs) == ({"captions", "vocabulary"}, frozenset())
    assert VASTLoss(audio_language_weight=0.0).needs == {"captions"}
    network.eval()  # so that one pass leaves nothing behind for the next
    doubled = replace(VASTLoss(), tri_modal_weight=2e-2)(network, batch)
    once = VASTLoss()(network, batch)
    torch.testing.assert_close(doubled.weighted["tri_modal"], 2 * once.weighted["tri_modal"], rtol=1e-3, atol=1e-8)


def test_every_term_of_vast_is_its_weight_times_its_function_of_the_sources_alone() -> None:
    torch.manual_seed(0)
    network = vast.Config.tiny().build().eval()
    regions = random(2, 3, 1, 2, 2, 8, seed=4)  # those of an absent query, too
    batch = spectral_mixture(8)
    batch = replace(batch, mixture=replace(batch.mixture, query=QueryEmbedding(regions=regions)))
    weights = {"mask": 2.0, "tri_modal": 3.0, "audio_language": 5.0, "caption_mask": 7.0}
    terms = VASTLoss(**{f"{name}_weight": value for name, value in weights.items()}, temperature=0.2)(network, batch)  # type: ignore[arg-type]
    heard, captions = torch.log(batch.magnitude + 1e-10).unsqueeze(1), batch.mixture.captions
    assert captions is not None and batch.mixture.vocabulary is not None
    masks, captioned = (
        network(heard, query).masks[:, :2] for query in (batch.mixture.query, QueryEmbedding(vectors=captions))
    )
    audio, target = embed_sources(network, masks, batch.magnitude), batch.sources / batch.magnitude.unsqueeze(1)
    sounds, words = audio.flatten(0, 1), captions.flatten(0, 1)
    expected = {
        "mask": (masks - target).abs().mean(),
        "tri_modal": tri_modal(regions[:, :2], captions, audio, temperature=0.2),
        "audio_language": audio_language(sounds, words, batch.mixture.vocabulary, temperature=0.2),
        "caption_mask": (captioned - target).abs().mean(),
    }
    assert terms.weighted.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms.weighted[name], weights[name] * value, rtol=1e-4, atol=1e-6)
    cosines = [cosine(*pair) for pair in zip(sounds.detach().numpy(), words.numpy(), strict=True)]
    assert float(terms.observed["caption_cosine"]) == pytest.approx(np.mean(cosines), abs=1e-5)


def test_without_captions_or_without_weight_there_are_the_masks_alone() -> None:
    network = vast.Config.tiny().build().eval()
    masks_alone = VASTLoss(tri_modal_weight=0.0, audio_language_weight=0.0)
    for loss, captions in ((VASTLoss(caption_mask_weight=1e-3), False), (masks_alone, True)):
        terms = loss(network, spectral_mixture(8, captions=captions))
        assert terms.weighted.keys() == {"mask"} and not terms.observed


def test_the_alignment_alone_reaches_encoder_and_decoder_and_lowers_itself() -> None:
    torch.manual_seed(0)
    network = vast.Config.tiny().build().train()
    batch = spectral_mixture(8)
    loss = VASTLoss(mask_weight=0.0, tri_modal_weight=1.0, audio_language_weight=0.1, temperature=0.2)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    totals = []
    for _ in range(15):
        optimizer.zero_grad()
        total = loss(network, batch).total
        total.backward()
        totals.append(float(total.detach()))
        assert all(value.grad is not None and value.grad.isfinite().all() for value in network.parameters())
        optimizer.step()
    assert min(totals[-3:]) < totals[0] - 0.1


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0)])
def test_each_alignment_moves_the_masks_and_not_the_encoder_alone(weights: tuple[float, float]) -> None:
    torch.manual_seed(0)
    network = vast.Config.tiny().build().train()
    loss = VASTLoss(mask_weight=0.0, tri_modal_weight=weights[0], audio_language_weight=weights[1], temperature=0.2)
    loss(network, spectral_mixture(8)).total.backward()
    still = [name for name, value in network.named_parameters() if value.grad is None or not value.grad.abs().max() > 0]
    assert still == []


def test_hfra_adds_the_distance_to_the_teacher() -> None:
    torch.manual_seed(0)
    network = replace(hfra.Config.tiny(), teacher_dim=8).build().train()
    batch = spectral_mixture(8)
    terms = TeacherAlignedLoss(teacher_weight=0.5)(network, batch)
    assert terms.weighted.keys() == {"mask", "teacher"}
    assert float(terms.weighted["teacher"].detach()) == pytest.approx(
        0.5 * (1 - float(terms.observed["teacher_cosine"])), rel=1e-5
    )
    without = TeacherAlignedLoss(teacher_weight=0.0)
    assert (without.needs, TeacherAlignedLoss().needs) == (frozenset(), {"teacher"})
    plain = without(network, batch).weighted
    assert plain.keys() == MaskLoss(kind="magnitude_l1")(network, batch).weighted.keys() == {"mask"}


class Wrapped(nn.Module):
    """As networks are wrapped for several processes: only `forward` shows through."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *given: object) -> object:
        return self.module(*given)


def test_a_wrapped_network_gives_the_same() -> None:
    torch.manual_seed(0)
    network = vast.Config.tiny().build().eval()
    batch = spectral_mixture(8)
    torch.testing.assert_close(VASTLoss()(Wrapped(network), batch).total, VASTLoss()(network, batch).total)
