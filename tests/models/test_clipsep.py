from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from trisep.errors import ConfigError
from trisep.losses.masks import magnitude_weight, weighted_bce
from trisep.models.clipsep import CLIPSep, Config
from trisep.networks.audio_unet import UNetConfig
from trisep.spectrogram.log_frequency import to_log_frequency
from trisep.spectrogram.masks import binary_mask
from trisep.types import MaskOutput, QueryEmbedding

REFERENCE = Path(__file__).parents[3] / "shared" / "reference" / "official_clipsep_late_tiny.safetensors"
NUM_LEVELS = 7
needs_reference = pytest.mark.skipif(not REFERENCE.is_file(), reason="the reference cases are not beside this checkout")


def our_key(published: str) -> str:
    """Our name of a tensor of the published network, whose U-Net blocks are nested and numbered within."""
    name = published.rsplit(".", 1)[-1]
    for theirs, ours in (("sound_net.bn0", "unet.input_norm"), ("frame_net", "query_projection"), ("synth_net", "fusion")):
        if published.startswith(theirs):
            return f"{ours}.{name}"
    numbers = [int(part) for part in published.split(".") if part.isdigit()]
    level, leaf = len(numbers) - 1, numbers[-1]
    innermost, outermost = level == NUM_LEVELS - 1, level == 0
    down = {0: 0} if outermost else {1: 1} if innermost else {1: 1, 2: 2}
    if leaf in down:
        return f"unet.down.{level}.{down[leaf]}.{name}"
    up = {4: 2} if outermost else {4: 2, 5: 3} if innermost else {6: 2, 7: 3}
    return f"unet.up.{NUM_LEVELS - 1 - level}.{up[leaf]}.{name}"


def original_warp(magnitude: torch.Tensor) -> torch.Tensor:
    """The warp as the original computes it: `grid_sample` over both axes with a grid rounded to single precision."""
    rows = (np.power(21, (np.linspace(-1, 1, 256) + 1) / 2) - 11) / 10
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, magnitude.shape[-1]), rows), axis=-1).astype(np.float32)
    grids = torch.from_numpy(grid)[None].repeat(len(magnitude), 1, 1, 1)
    return torch.nn.functional.grid_sample(magnitude, grids, align_corners=True)[:, 0]


@pytest.fixture(scope="module")
def case() -> dict[str, torch.Tensor]:
    return load_file(REFERENCE)


@pytest.fixture(scope="module")
def network(case: dict[str, torch.Tensor]) -> CLIPSep:
    unet = UNetConfig(num_levels=NUM_LEVELS, base_width=4, max_width=32, out_channels=8)
    network = Config(embedding_dim=512, unet=unet).build()
    prefix = "state_dict."
    state = {key.removeprefix(prefix): value for key, value in case.items() if key.startswith(prefix)}
    network.load_state_dict({our_key(key): value for key, value in state.items()})
    return network.eval()


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
def test_our_warp_changes_its_masks_only_by_the_rounding_of_the_original_grid(network: CLIPSep, case: dict[str, torch.Tensor]) -> None:
    # In single precision the original's rows lie up to 1e-5 of a bin off. Beside a loud bin that moves a quiet one (about 1e-3) by as much
    # as itself, which the logarithm turns into a difference the network can see.
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
    torch.testing.assert_close(plain.query_weights(QueryEmbedding(vectors=vectors)), torch.sigmoid(vectors @ weight.T + bias))
    scaled = Config(embedding_dim=8, unet=Config.tiny().unet, normalize_query=True, query_scale=20.0).build()
    scaled.load_state_dict(plain.state_dict())
    unit = vectors / vectors.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(scaled.query_weights(QueryEmbedding(vectors=vectors)), torch.sigmoid(20 * unit @ weight.T + bias))
    longer = scaled.query_weights(QueryEmbedding(vectors=3 * vectors))
    torch.testing.assert_close(longer, scaled.query_weights(QueryEmbedding(vectors=vectors)))


def test_a_query_of_another_kind_is_refused() -> None:
    regions = QueryEmbedding(regions=torch.zeros(1, 1, 3, 7, 7, 8))
    with pytest.raises(ConfigError, match="CLIPSep reads query vectors, and the query carries none"):
        Config.tiny().build()(torch.zeros(1, 1, 256, 8), regions)
