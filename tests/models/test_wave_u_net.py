"""Wave-U-Net against its layers written out as sums, and its sizes against the paper's."""

import dataclasses

import pytest
import torch
from torch import Tensor

from trisep.errors import ConfigError
from trisep.models.wave_u_net import Config, WaveUNet, WaveUNetConfig
from trisep.types import QueryEmbedding


def network(num_sources: int = 2) -> WaveUNet:
    torch.manual_seed(0)
    return dataclasses.replace(Config.tiny(), num_sources=num_sources).build().eval()


def convolved(x: Tensor, layer: torch.nn.Conv1d) -> Tensor:
    """A convolution without padding, tap by tap: `y[i] = b + Σ_k W_k x[i + k]`."""
    length = x.shape[-1] - layer.kernel_size[0] + 1
    taps = [layer.weight[:, :, tap] @ x[:, :, tap : tap + length] for tap in range(layer.kernel_size[0])]
    assert layer.bias is not None
    return torch.stack(taps).sum(dim=0) + layer.bias[:, None]


def leaky(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x)


def between(x: Tensor) -> Tensor:
    """The samples with the mean of every two neighbours put between them."""
    doubled = x.new_zeros(*x.shape[:-1], 2 * x.shape[-1] - 1)
    doubled[..., ::2] = x
    doubled[..., 1::2] = (x[..., :-1] + x[..., 1:]) / 2
    return doubled


def cropped(x: Tensor, length: int) -> Tensor:
    margin = (x.shape[-1] - length) // 2
    assert x.shape[-1] == length + 2 * margin
    return x[..., margin : margin + length]


def by_hand(model: WaveUNet, mixture: Tensor) -> Tensor:
    """Stoller et al., Table 1, from the definitions; the length has to fit."""
    x, kept = mixture[:, None], []
    for block in model.down[:-1]:
        kept.append(leaky(convolved(x, block[0])))
        x = kept[-1][..., ::2]
    x = leaky(convolved(x, model.down[-1][0]))
    for block in model.up:
        x = between(x)
        x = leaky(convolved(torch.cat([cropped(kept.pop(), x.shape[-1]), x], dim=1), block[0]))
    heard = cropped(mixture[:, None], x.shape[-1])
    estimates = torch.tanh(convolved(torch.cat([heard, x], dim=1), model.head))
    return torch.cat([estimates, heard - estimates.sum(dim=1, keepdim=True)], dim=1)


@pytest.mark.parametrize("num_sources", [2, 3])
def test_it_equals_its_layers_written_out(num_sources: int) -> None:
    model = network(num_sources)
    fitting = model.config.unet.output_samples(20)
    mixture = torch.randn(2, fitting + 2 * model.contract.context_samples)
    estimates = model(mixture)
    assert estimates.shape == (2, num_sources, fitting)
    torch.testing.assert_close(estimates, by_hand(model, mixture))
    context = model.contract.context_samples
    torch.testing.assert_close(estimates.sum(dim=1), mixture[:, context:-context])


def test_its_sizes_are_the_paper_s() -> None:
    shape = WaveUNetConfig()
    assert 147_443 - 2 * shape.context_samples == 16_389 == shape.output_samples(16_389)
    assert (shape.output_samples(16_390), shape.output_samples(1)) == (16_389 + 4096, 5)
    with torch.device("meta"):
        layers = [block[0] for block in (*Config().build().down, *Config().build().up)]
    assert [(one.in_channels, one.out_channels) for one in layers[:2]] == [(1, 24), (24, 48)]
    assert [(one.in_channels, one.out_channels) for one in layers[11:15]] == [
        (264, 288),
        (288, 312),
        (600, 288),
        (552, 264),
    ]


@pytest.mark.parametrize("num_samples", [1, 5, 6, 37])
def test_any_length_will_do_and_only_what_is_within_the_context_decides(num_samples: int) -> None:
    model = network()
    context = model.contract.context_samples
    mixture = torch.randn(1, num_samples + 2 * context)
    estimates = model(mixture)
    assert estimates.shape == (1, 2, num_samples)
    longer = torch.cat([mixture, torch.randn(1, 50)], dim=1)
    torch.testing.assert_close(model(longer)[..., :num_samples], estimates)
    changed = mixture.clone()
    changed[:, -1] += 1  # the last sample of the last estimate's context
    assert not torch.equal(model(changed)[..., -1], estimates[..., -1])


def test_settings_out_of_range_are_refused() -> None:
    assert not network().contract.answers_queries and network().contract.domain == "waveform"
    with pytest.raises(ConfigError, match="num_sources: expected at least 2, got 1"):
        Config(num_sources=1)
    for name in ("num_levels", "extra_filters"):
        with pytest.raises(ConfigError, match="num_levels and unet.extra_filters must be at least 1"):
            WaveUNetConfig(**{name: 0})
    for down, up in ((4, 5), (15, 4), (-1, 5), (15, -1)):
        with pytest.raises(ConfigError, match=f"expected odd numbers.*got {down} and {up}"):
            WaveUNetConfig(down_kernel=down, up_kernel=up)
    assert WaveUNetConfig(num_levels=1, extra_filters=1, down_kernel=1, up_kernel=1).context_samples == 0
    with pytest.raises(ConfigError, match="loses 238 samples of context, expected more than that, got 238"):
        network()(torch.zeros(1, 238))


def test_with_queries_each_estimate_is_that_of_its_query() -> None:
    torch.manual_seed(0)
    config = dataclasses.replace(Config.tiny(), embedding_dim=3, query_scale=2.0)
    model = config.build().eval()
    assert model.contract.reads == "vectors" and model.contract.answers_queries
    mixture = torch.randn(2, 2 * model.contract.context_samples + config.unet.output_samples(53)) / 10
    vectors = torch.randn(2, 3, 3)
    estimates = model(mixture, QueryEmbedding(vectors=vectors))
    assert estimates.shape == (2, 3, config.unet.output_samples(53)) and estimates.abs().max() < 1
    for query in range(3):
        alone = model(mixture, QueryEmbedding(vectors=vectors[:, query : query + 1]))
        torch.testing.assert_close(alone, estimates[:, query : query + 1])
    # By hand: the projection of the scaled vector on every moment of the innermost map; no difference layer.
    x, kept = mixture[:1, None], []
    for block in model.down[:-1]:
        kept.append(leaky(convolved(x, block[0])))
        x = kept[-1][..., ::2]
    projected = 2 * vectors[:1, 1] @ model.query_projection.weight.T + model.query_projection.bias
    x = leaky(convolved(x, model.down[-1][0])) + projected[:, :, None]
    for block in model.up:
        x = between(x)
        x = leaky(convolved(torch.cat([cropped(kept.pop(), x.shape[-1]), x], dim=1), block[0]))
    by_definition = torch.tanh(convolved(torch.cat([cropped(mixture[:1, None], x.shape[-1]), x], dim=1), model.head))
    torch.testing.assert_close(by_definition, estimates[:1, 1:2])


def test_a_query_without_vectors_is_refused() -> None:
    model = dataclasses.replace(Config.tiny(), embedding_dim=3).build()
    with pytest.raises(ConfigError, match="reads query vectors, and the query carries none"):
        model(torch.zeros(1, 300), QueryEmbedding())
    with pytest.raises(ConfigError, match="embedding_dim: expected at least 0, got -1"):
        dataclasses.replace(Config.tiny(), embedding_dim=-1)
