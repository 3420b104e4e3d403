"""The contract that every file in `trisep.models` keeps. A new file is covered by itself; COVERED names those that must
not go missing.
"""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from trisep.checkpoints.format import load_model, save_model
from trisep.errors import ConfigError
from trisep.models import model_module, model_names
from trisep.types import MaskOutput, QueryEmbedding, SignalSettings

COVERED = [
    "audioscope",
    "avsgs",
    "clipsep",
    "clipsep_middle",
    "clipsep_nit",
    "co_separation",
    "hfra",
    "labelsep",
    "mp_net",
    "pit",
    "resunet_decouple",
    "sgn",
    "sound_of_pixels",
    "vast",
    "wave_u_net",
]
UNQUERIED = {"pit", "resunet_decouple", "wave_u_net"}
"""Their masks are interchangeable and their own in number: what is asked here of a query and its masks, they are exempt
from.
"""
NUM_FRAMES = (8, 16)


@pytest.fixture(params=model_names())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def network(name: str) -> Iterator[nn.Module]:
    torch.manual_seed(0)
    yield model_module(name).Config.tiny().build()


def spectrogram(num_frames: int = 16, *, batch: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, 1, 256, num_frames, generator=torch.Generator().manual_seed(seed)) * 3 - 5


def heard_by(network: nn.Module, num_frames: int = 16, *, batch: int = 2, seed: int = 0) -> torch.Tensor:
    """What a model reads, by its domain: a spectrogram, or samples with their context."""
    if network.contract.domain == "spectrogram":
        return spectrogram(num_frames, batch=batch, seed=seed)
    num_samples = 64 * num_frames + 2 * network.contract.context_samples
    return torch.randn(batch, num_samples, generator=torch.Generator().manual_seed(seed)) / 10


def answer(output: MaskOutput | torch.Tensor) -> torch.Tensor:
    """Masks or estimates."""
    return output.masks if isinstance(output, MaskOutput) else output


def query_of(network: nn.Module, num_queries: int = 2, *, batch: int = 2, seed: int = 1) -> QueryEmbedding:
    """Every kind of query at once; a model takes the one it was made for. Every query has two boxes, of two classes."""
    generator = torch.Generator().manual_seed(seed)
    dim = getattr(network.config, "embedding_dim", 8)
    return QueryEmbedding(
        vectors=torch.randn(batch, num_queries, dim, generator=generator),
        regions=torch.randn(batch, num_queries, 3, 7, 7, dim, generator=generator),
        label_ids=torch.rand(batch, num_queries, generator=generator).argsort(dim=1),
        frames=torch.randint(0, 256, (batch, num_queries, 3, 3, 32, 48), generator=generator, dtype=torch.uint8),
        box_labels=torch.tensor([1, 0, -1]).expand(batch, num_queries, 3),
        box_vectors=torch.randn(batch, num_queries, 3, dim, generator=generator),
        box_frames=torch.zeros(batch, num_queries, 3, dtype=torch.int64),
    )


def each_field(query: QueryEmbedding, change: Callable[[torch.Tensor], torch.Tensor]) -> QueryEmbedding:
    """The same change made to every kind of query."""
    return QueryEmbedding(**{field.name: change(getattr(query, field.name)) for field in dataclasses.fields(query)})


def test_no_model_has_gone_missing() -> None:
    assert set(model_names()) >= set(COVERED)


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown model 'klipsep': expected one of .*clipsep"):
        model_module("klipsep")


def test_the_configuration_is_frozen_and_the_tiny_network_is_tiny(name: str, network: nn.Module) -> None:
    config = model_module(name).Config.tiny()
    assert config == network.config
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(config, dataclasses.fields(config)[0].name, None)
    assert sum(parameter.numel() for parameter in network.parameters()) < 20_000
    assert all(frames % network.contract.time_multiple == 0 for frames in NUM_FRAMES)


@pytest.mark.parametrize("num_queries", [1, 2, 3])
@pytest.mark.parametrize("num_frames", NUM_FRAMES)
def test_masks_have_the_shape_of_the_spectrogram_and_lie_between_0_and_1(
    name: str, network: nn.Module, num_queries: int, num_frames: int
) -> None:
    if network.contract.domain == "waveform":
        pytest.skip("estimates samples")
    output = network(spectrogram(num_frames), query_of(network, num_queries))
    assert isinstance(output, MaskOutput)
    assert output.masks.shape == (2, network.config.num_sources if name in UNQUERIED else num_queries, 256, num_frames)
    assert output.masks.dtype == torch.float32
    assert output.masks.min() >= 0
    # Sums over regions, boxes and what they cut out are clamped outside training alone.
    if network.contract.reads not in ("regions", "boxes", "cuts"):
        assert output.masks.max() <= 1
    assert network.eval()(spectrogram(num_frames), query_of(network, num_queries)).masks.max() <= 1
    assert output.masks.std() > 0
    if output.logits is not None:
        torch.testing.assert_close(torch.sigmoid(output.logits), output.masks)


@pytest.mark.parametrize("num_frames", NUM_FRAMES)
def test_estimates_have_the_length_of_the_mixture_without_its_context(network: nn.Module, num_frames: int) -> None:
    if network.contract.domain == "spectrogram":
        assert network.contract.context_samples == 0
        return
    for surplus in (0, 1, 7):
        mixture = nn.functional.pad(heard_by(network, num_frames), (0, surplus))
        estimates = network(mixture, query_of(network))
        assert isinstance(estimates, torch.Tensor) and estimates.dtype == torch.float32
        assert estimates.shape == (2, network.config.num_sources, 64 * num_frames + surplus)
        assert estimates.std() > 0


def test_the_query_decides_and_its_order_is_the_order_of_the_masks(name: str, network: nn.Module) -> None:
    network.eval()
    query = query_of(network, 3)
    flipped = each_field(query, lambda values: values.flip(1))
    masks = answer(network(heard_by(network), query))
    assert (name in UNQUERIED) == (not network.contract.answers_queries)
    if name in UNQUERIED:
        assert torch.equal(answer(network(heard_by(network), flipped)), masks)
        return
    torch.testing.assert_close(network(spectrogram(), flipped).masks.flip(1), masks)
    assert (masks[:, 0] - masks[:, 1]).abs().max() > 1e-4


def test_two_steps_change_every_trainable_parameter(network: nn.Module) -> None:
    before = {key: value.detach().clone() for key, value in network.named_parameters() if value.requires_grad}
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    for step in range(2):
        optimizer.zero_grad()
        output = network(heard_by(network, seed=step), query_of(network, seed=10 + step))
        total = answer(output).square().sum()
        for name in ("noise_masks", "class_logits", "presence_logits"):
            if (more := getattr(output, name, None)) is not None:
                total = total + more.square().sum()
        if getattr(output, "parts", None) is not None:
            total = total + output.parts.label_logits.square().sum()
        total.backward()
        assert [
            key for key, value in network.named_parameters() if value.grad is None or not value.grad.isfinite().all()
        ] == []
        optimizer.step()
    assert before
    assert [key for key, value in network.named_parameters() if key in before and torch.equal(value, before[key])] == []


def test_evaluation_is_deterministic_and_mixtures_do_not_mind_each_other(network: nn.Module) -> None:
    network.eval()
    query = query_of(network)
    with torch.inference_mode():
        masks = answer(network(heard_by(network), query))
        assert torch.equal(answer(network(heard_by(network), query)), masks)
        first = each_field(query, lambda values: values[:1])
        torch.testing.assert_close(answer(network(heard_by(network)[:1], first)), masks[:1])


def test_a_checkpoint_gives_the_same_network_back_bit_for_bit(name: str, network: nn.Module, tmp_path: Path) -> None:
    network(heard_by(network), query_of(network))  # moves the running statistics away from their start
    card = {"signal": dataclasses.asdict(SignalSettings()), "encoder": "lite", "encoder_fingerprint": "0123", "step": 7}
    save_model(tmp_path / "model", network, model_name=name, card=card)
    loaded = load_model(tmp_path / "model")
    assert (loaded.model_name, loaded.encoder, loaded.encoder_fingerprint, loaded.card["step"]) == (
        name,
        "lite",
        "0123",
        7,
    )
    assert (loaded.signal, loaded.model.config) == (SignalSettings(), network.config)
    states = network.state_dict(), loaded.model.state_dict()
    assert list(states[0]) == list(states[1])
    assert [key for key in states[0] if not torch.equal(states[0][key], states[1][key])] == []
    assert not loaded.model.training and not any(parameter.requires_grad for parameter in loaded.model.parameters())
    outputs = [model(heard_by(network), query_of(network)) for model in (loaded.model, network.eval())]
    assert torch.equal(*map(answer, outputs))


def test_a_query_of_no_kind_is_refused(name: str, network: nn.Module) -> None:
    if name in UNQUERIED:
        assert answer(network(heard_by(network), QueryEmbedding())).shape[1] == network.config.num_sources
        return
    with pytest.raises(ConfigError, match="query"):
        network(spectrogram(), QueryEmbedding())
