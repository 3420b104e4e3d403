"""CLIPSep against the original network and loss."""

import dataclasses

import pytest
import torch
from published_clipsep import CASES, original_warp, published_state
from safetensors.torch import load_file

from trisep.checkpoints.published import published_network
from trisep.errors import ConfigError
from trisep.losses.masks import magnitude_weight, weighted_bce
from trisep.models.clipsep import CLIPSep, Config
from trisep.spectrogram.log_frequency import to_log_frequency
from trisep.spectrogram.masks import binary_mask
from trisep.types import MaskOutput, QueryEmbedding

REFERENCE = CASES["clipsep"]
needs_reference = pytest.mark.skipif(not REFERENCE.is_file(), reason="the reference cases are not beside this checkout")


@pytest.fixture(scope="module")
def case() -> dict[str, torch.Tensor]:
    return load_file(REFERENCE)


@pytest.fixture(scope="module")
def network(case: dict[str, torch.Tensor]) -> CLIPSep:
    network = published_network(published_state(case), "clipsep")
    assert isinstance(network, CLIPSep)
    return network


def predict(network: CLIPSep, case: dict[str, torch.Tensor], heard: torch.Tensor) -> tuple[MaskOutput, torch.Tensor]:
    """Our output for a mixture on the log grid, and how far its masks are from the original's."""
    vectors = torch.stack([case["embedding_0"], case["embedding_1"]], dim=1)
    with torch.inference_mode():
        output = network(torch.log(heard + 1e-10).unsqueeze(1), QueryEmbedding(vectors=vectors))
    expected = torch.cat([case["pred_masks_0"], case["pred_masks_1"]], dim=1)
    return output, (output.masks - expected).abs()


@needs_reference
def test_it_agrees_with_the_original_network_and_loss(network: CLIPSep, case: dict[str, torch.Tensor]) -> None:
    heard = original_warp(case["magnitude"])
    output, difference = predict(network, case, heard)
    assert difference.max() <= 1e-4
    sources = torch.stack([original_warp(case[f"mags_{index}"]) for index in range(2)], dim=1)
    assert output.logits is not None
    loss = weighted_bce(output.logits, binary_mask(sources, heard), magnitude_weight(heard))
    assert float(loss) == pytest.approx(float(case["loss"]), abs=1e-4)


@needs_reference
def test_our_warp_changes_its_masks_only_by_the_rounding_of_the_original_grid(
    network: CLIPSep, case: dict[str, torch.Tensor]
) -> None:
    # In single precision the original's rows lie up to 1e-5 of a bin off. Beside a loud bin that moves a quiet one
    # (about 1e-3) by as much as itself, which the logarithm turns into a difference the network can see.
    heard, original = to_log_frequency(case["magnitude"][:, 0]), original_warp(case["magnitude"])
    assert (heard - original).abs().max() <= 5e-5 * (original.max() - original.min())
    moved = (torch.log(heard + 1e-10) - torch.log(original + 1e-10)).abs() > 1e-3
    assert moved.float().mean() < 0.01
    assert original[moved].max() < 0.1
    _, difference = predict(network, case, heard)
    assert difference.median() <= 1e-3
    assert difference.max() <= 0.05


def test_the_query_weights_are_the_sigmoid_of_a_projection() -> None:
    torch.manual_seed(0)
    vectors = torch.randn(1, 2, 8)
    plain = Config.tiny().build()
    weight, bias = plain.query_projection.weight, plain.query_projection.bias
    torch.testing.assert_close(
        plain.query_weights(QueryEmbedding(vectors=vectors)), torch.sigmoid(vectors @ weight.T + bias)
    )
    scaled = Config(embedding_dim=8, unet=Config.tiny().unet, normalize_query=True, query_scale=20.0).build()
    scaled.load_state_dict(plain.state_dict())
    unit = vectors / vectors.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(
        scaled.query_weights(QueryEmbedding(vectors=vectors)), torch.sigmoid(20 * unit @ weight.T + bias)
    )
    longer = scaled.query_weights(QueryEmbedding(vectors=3 * vectors))
    torch.testing.assert_close(longer, scaled.query_weights(QueryEmbedding(vectors=vectors)))


def test_the_bottleneck_is_the_innermost_map_of_the_encoder() -> None:
    torch.manual_seed(0)
    model, heard = Config.tiny().build().eval(), torch.randn(2, 1, 256, 8)
    output = model(heard, QueryEmbedding(vectors=torch.randn(2, 2, 8)))
    assert output.bottleneck.shape == (2, 8, 32, 1)
    assert torch.equal(output.bottleneck, model.unet.encode(heard)[-1])


def test_a_query_of_another_kind_is_refused() -> None:
    regions = QueryEmbedding(regions=torch.zeros(1, 1, 3, 7, 7, 8))
    with pytest.raises(ConfigError, match="CLIPSep reads query vectors, and the query carries none"):
        Config.tiny().build()(torch.zeros(1, 1, 256, 8), regions)


def test_with_regions_the_query_is_their_maximum_over_frames_and_places_as_in_sound_of_pixels() -> None:
    torch.manual_seed(0)
    model = dataclasses.replace(Config.tiny(), reads_regions=True).build().eval()
    given = torch.randn(2, 3, 2, 4, 4, 8, generator=torch.Generator().manual_seed(1))
    cells = [(frame, row, column) for frame in (0, 1) for row in range(4) for column in range(4)]
    strongest = torch.stack([given[:, :, frame, row, column] for frame, row, column in cells])
    expected = torch.sigmoid(model.query_projection(strongest.max(dim=0).values))
    torch.testing.assert_close(model.query_weights(QueryEmbedding(regions=given)), expected)
    assert (expected - torch.sigmoid(model.query_projection(strongest.mean(dim=0)))).abs().max() > 0.01
