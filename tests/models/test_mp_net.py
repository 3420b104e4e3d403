"""MP-Net against the recursion written out for one mixture after the other."""

import pytest
import torch
from torch import Tensor

from trisep.errors import ConfigError
from trisep.models.mp_net import Config, MPNet
from trisep.types import QueryEmbedding


def network() -> MPNet:
    torch.manual_seed(0)
    model = Config.tiny().build().eval()
    with torch.no_grad():  # at its start, a network's masks are all about one half
        model.minus.fusion.scale.mul_(10)
        model.plus.output_layer.weight.mul_(10)
    return model


def spectrogram(batch: int = 3) -> Tensor:
    return torch.randn(batch, 1, 256, 8, generator=torch.Generator().manual_seed(0)) * 2 - 2


def query(num_queries: int, batch: int = 3) -> QueryEmbedding:
    generator = torch.Generator().manual_seed(1)
    return QueryEmbedding(
        frames=torch.randint(0, 256, (batch, num_queries, 2, 3, 32, 32), generator=generator, dtype=torch.uint8)
    )


def one_by_one(model: MPNet, log_magnitude: Tensor, weights: Tensor) -> tuple[Tensor, list[int]]:
    """The paper's two stages on magnitudes, for one mixture: its masks and the order in which sounds were taken."""
    mixture = log_magnitude.exp()[0]
    rest, waiting, order = mixture.clone(), list(range(len(weights))), []
    solos, removed = {}, {}
    while waiting:
        maps = model.minus.unet((rest + 1e-10).log()[None, None])
        sounds = {
            one: torch.sigmoid(model.minus.fusion(maps, weights[None, one : one + 1])[0, 0].float()) * rest
            for one in waiting
        }
        loudest = max(waiting, key=lambda one: float((sounds[one] ** 2).mean()))
        solos[loudest], removed[loudest] = sounds[loudest], mixture - rest
        rest = rest - sounds[loudest]
        waiting.remove(loudest)
        order.append(loudest)
    final = []
    for one in range(len(weights)):
        pair = torch.stack([solos[one], removed[one].clamp_min(0)])[None]
        final.append(solos[one] + torch.sigmoid(model.plus((pair + 1e-10).log())[0, 0]) * removed[one])
    return torch.stack(final) / mixture, order


@pytest.mark.parametrize("num_queries", [1, 2, 3])
def test_it_equals_the_recursion_written_out(num_queries: int) -> None:
    model = network().double()
    for part in (model.minus.image_network, model.minus.image_head):
        part.float()
    pictures, heard = query(num_queries), spectrogram().double()
    orders = []
    with torch.no_grad():
        output = model(heard, pictures)
        masks = output.masks
        # That of the whole mixture, which nothing has been taken from.
        torch.testing.assert_close(output.bottleneck, model.minus.unet.encode(heard)[-1])
        weights = model.minus.query_weights(pictures)
        for index in range(3):
            expected, order = one_by_one(model, heard[index], weights[index])
            torch.testing.assert_close(masks[index], expected, atol=1e-4, rtol=1e-3)
            orders.append(order)
    if num_queries > 1:
        assert any(order != sorted(order) for order in orders)
        assert (masks[:, 0] - masks[:, 1]).abs().max() > 0.05


def test_the_loudest_sound_is_taken_first_and_the_next_from_what_is_left() -> None:
    model = network()
    with torch.no_grad():
        for parameter in model.plus.output_layer.parameters():
            parameter.zero_()
        assert model.plus.output_layer.bias is not None
        model.plus.output_layer.bias.fill_(-100)  # P-Net gives nothing back
        masks = model(spectrogram(), query(3)).masks
        assert (masks.sum(dim=1) <= 1 + 1e-5).all()
        model.plus.output_layer.bias.fill_(100)  # P-Net gives everything back
        full = model(spectrogram(), query(3)).masks
    assert (full >= masks - 1e-6).all() and (full.sum(dim=1) > 1).any()
    energy = (masks * spectrogram().exp()).square().mean(dim=(2, 3))
    # Whoever was taken last has, with everything given back, what all before it left over, and that is all.
    assert (full.amin(dim=(2, 3)) < 1 - 1e-3).any(dim=1).all() and (energy > 0).all()


def test_the_logits_of_masks_that_are_0_or_1_stay_finite() -> None:
    model = network()
    with torch.no_grad():
        for bias, expected in ((-200.0, -13.815510), (200.0, 13.815510)):  # ± log(1e6 − 1)
            model.minus.fusion.bias.fill_(bias)
            logits = model(spectrogram(), query(1)).logits
            torch.testing.assert_close(logits, torch.full_like(logits, expected), rtol=0, atol=0.05)


def test_it_reads_frames_and_says_that_parts_of_a_sound_are_not_the_whole() -> None:
    model = network()
    assert (model.contract.reads, model.contract.is_shift_equivariant) == ("frames", False)
    assert model.unet is model.minus.unet and model.image_network is model.minus.image_network
    with pytest.raises(ConfigError, match="reads frames, and the query carries none"):
        model(spectrogram(), QueryEmbedding(vectors=torch.zeros(3, 2, 8)))
    with pytest.raises(ConfigError, match="image_width: expected at least 1, got 0"):
        Config(image_width=0).build()
