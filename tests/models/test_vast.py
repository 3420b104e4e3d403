"""VAST: masks of regions, their sum and mean, and vectors that stand for regions."""

import dataclasses
from typing import Any

import pytest
import torch
from tiled_decoding import decode_tiled

from trisep.errors import ConfigError
from trisep.models.vast import VAST, Config
from trisep.networks.audio_unet import AudioUNet, UNetConfig
from trisep.types import QueryEmbedding


def spectrogram() -> torch.Tensor:
    return torch.randn(2, 1, 256, 8, generator=torch.Generator().manual_seed(0)) * 3 - 5


def regions(num_queries: int = 2, num_frames: int = 3, size: int = 2) -> torch.Tensor:
    return torch.randn(2, num_queries, num_frames, size, size, 8, generator=torch.Generator().manual_seed(1))


def network(**changes: Any) -> VAST:
    torch.manual_seed(0)
    model = dataclasses.replace(Config.tiny(), **changes).build().eval()
    torch.nn.init.normal_(model.unet.output_layer.weight, std=0.3)
    return model


def mask_of(model: VAST, vectors: torch.Tensor) -> torch.Tensor:
    """The mask of one vector per mixture [B, D], by tiling, concatenating and decoding in full."""
    logits = decode_tiled(model.unet, model.unet.encode(spectrogram()), torch.cat([vectors, -vectors], dim=-1)[:, None])
    return logits[:, 0, 0].sigmoid()


def test_the_mask_of_a_video_is_the_sum_over_regions_and_the_mean_over_frames() -> None:
    given = regions()
    model = network()
    torch.nn.init.constant_(model.unet.output_layer.bias, -1.0)
    expected = torch.zeros(2, 2, 256, 8)
    for query in range(2):
        for frame in range(3):
            for row in range(2):
                for column in range(2):
                    expected[:, query] += mask_of(model, given[:, query, frame, row, column]) / 3
    output = model(spectrogram(), QueryEmbedding(regions=given))
    assert output.logits is None and output.bottleneck.shape == (2, 8, 32, 1)
    torch.testing.assert_close(output.masks, expected.clamp(0, 1))
    assert expected.max() > 1 and expected.min() < 1
    for norm in (layer for layer in model.unet.modules() if isinstance(layer, torch.nn.BatchNorm2d)):
        norm.train(False)
    model.training = True
    torch.testing.assert_close(model(spectrogram(), QueryEmbedding(regions=given)).masks, expected)


def test_boxes_are_summed_like_regions_however_many_a_frame_has() -> None:
    vectors = regions()[:, :, 0].flatten(2, 3)
    labels = torch.tensor([[[0, 1, 0, 2], [3, 3, -1, -1]]]).expand(2, -1, -1)
    frames = torch.tensor([[[0, 0, 2, 0], [0, 1, 0, 0]]]).expand(2, -1, -1)  # two frames each
    model = network()
    torch.nn.init.constant_(model.unet.output_layer.bias, -1.0)
    found = model(spectrogram(), QueryEmbedding(box_vectors=vectors, box_labels=labels, box_frames=frames))
    for query, num_boxes in enumerate((4, 2)):
        expected = torch.stack([mask_of(model, vectors[:, query, number]) for number in range(num_boxes)]).sum(dim=0)
        torch.testing.assert_close(found.masks[:, query], (expected / 2).clamp(0, 1))
    in_one_frame = model(spectrogram(), QueryEmbedding(box_vectors=vectors, box_labels=labels)).masks
    torch.testing.assert_close(in_one_frame[:, 1], (expected).clamp(0, 1))
    whole = network(level="video")
    strongest = torch.stack([vectors[:, 0].amax(dim=1), vectors[:, 1, :2].amax(dim=1)], dim=1)
    torch.testing.assert_close(
        whole(spectrogram(), QueryEmbedding(box_vectors=vectors, box_labels=labels)).masks,
        whole(spectrogram(), QueryEmbedding(vectors=strongest)).masks,
    )


def test_a_vector_makes_one_mask_times_the_regions_it_stands_for() -> None:
    vectors = regions()[:, :, 0, 0, 0]
    plain, larger = (
        network(query_scale=3.0, normalize_query=True),
        network(query_scale=3.0, normalize_query=True, vector_regions=40.0),
    )
    expected = torch.stack(
        [mask_of(plain, 3 * torch.nn.functional.normalize(vectors[:, query], dim=-1)) for query in range(2)], dim=1
    )
    output, scaled = (model(spectrogram(), QueryEmbedding(vectors=vectors)) for model in (plain, larger))
    torch.testing.assert_close(output.masks, expected)
    torch.testing.assert_close(output.logits.sigmoid(), expected)
    assert torch.equal(scaled.logits, output.logits)
    torch.testing.assert_close(scaled.masks, (40 * expected).clamp(0, 1))
    assert (40 * expected).max() > 1


def test_the_papers_tile_is_the_vector_alone() -> None:
    model, vectors = network(tiling="plain"), regions()[:, :, 0, 0, 0]
    maps = model.unet.encode(spectrogram())
    for query in range(2):
        logits = decode_tiled(model.unet, maps, vectors[:, query, None])[:, 0, 0]
        found = model(spectrogram(), QueryEmbedding(vectors=vectors)).logits[:, query]
        torch.testing.assert_close(found, logits)
    negative = -vectors.abs()  # all that the first ReLU of the decoder drops
    masks = model(spectrogram(), QueryEmbedding(vectors=torch.stack([negative[:, 0], 2 * negative[:, 0]], dim=1))).masks
    torch.testing.assert_close(masks[:, 0], masks[:, 1])


def test_where_a_query_has_regions_its_vectors_are_not_read() -> None:
    model = network()
    both = model(spectrogram(), QueryEmbedding(vectors=torch.randn(2, 2, 8), regions=regions()))
    assert torch.equal(both.masks, model(spectrogram(), QueryEmbedding(regions=regions())).masks)


def test_at_the_level_of_the_video_the_largest_value_over_frames_and_regions_is_the_vector() -> None:
    model, given = network(level="video"), regions()
    vectors = given.flatten(2, 4).max(dim=2).values
    output = model(spectrogram(), QueryEmbedding(regions=given))
    assert torch.equal(output.masks, model(spectrogram(), QueryEmbedding(vectors=vectors)).masks)
    assert output.logits is not None


def test_the_grid_is_pooled_first_and_smaller_grids_stay() -> None:
    model, large = network(), regions(size=4)
    pooled = large.unflatten(4, (2, 2)).unflatten(3, (2, 2)).mean(dim=(4, 6))
    masks = model(spectrogram(), QueryEmbedding(regions=large)).masks
    torch.testing.assert_close(masks, model(spectrogram(), QueryEmbedding(regions=pooled)).masks)
    one = regions(size=1)[:, :, :1]
    single = model(spectrogram(), QueryEmbedding(vectors=one[:, :, 0, 0, 0])).masks
    torch.testing.assert_close(model(spectrogram(), QueryEmbedding(regions=one)).masks, single)


@pytest.mark.parametrize("upsampling", ["bilinear", "transposed"])
@pytest.mark.parametrize(
    ("changes", "size"), [({"region_grid": None}, 7), ({"region_grid": 4}, 7), ({"level": "video"}, 7)]
)
def test_the_first_masks_are_near_one_half(upsampling: str, changes: dict[str, Any], size: int) -> None:
    torch.manual_seed(0)
    unet = UNetConfig(num_levels=3, base_width=16, upsampling=upsampling, normalization="channel", out_channels=1)  # type: ignore[arg-type]
    model = dataclasses.replace(Config.tiny(), unet=unet, **changes).build()
    masks = model(spectrogram(), QueryEmbedding(regions=regions(1, 1, size))).masks
    assert masks.mean().item() == pytest.approx(0.5, abs=0.02)
    assert 0.3 < masks.min() and masks.max() < 0.85


@pytest.mark.parametrize(
    ("changes", "odds"), [({}, 7), ({"region_grid": None}, 97), ({"region_grid": 9}, 97), ({"level": "video"}, 1)]
)
def test_each_region_starts_at_half_its_share_and_the_last_layer_at_a_tenth_of_torch_s(
    changes: dict[str, Any], odds: int
) -> None:
    config = dataclasses.replace(Config.tiny(), **changes)
    torch.manual_seed(3)
    model = config.build()
    torch.manual_seed(3)
    plain = AudioUNet(dataclasses.replace(config.unet, bottleneck_width=8), condition_channels=16)
    torch.testing.assert_close(model.unet.output_layer.weight, plain.output_layer.weight / 10)
    # 1 / (1 + odds) is 1/8 of 2 × 2 regions, 1/98 of 7 × 7, 1/2 of a whole video.
    torch.testing.assert_close(model.unet.output_layer.bias.sigmoid(), torch.tensor([1 / (1 + odds)]))


def test_the_audio_embedding_is_the_pooled_bottleneck_of_the_chosen_encoder() -> None:
    shared, separate = network(), network(audio_encoder="separate")
    bottleneck = shared(spectrogram(), QueryEmbedding(regions=regions())).bottleneck
    torch.testing.assert_close(shared.embed_audio(spectrogram()), bottleneck.flatten(2).mean(dim=2))
    assert [shape.shape for shape in separate.audio_encoder.parameters()] == [
        parameter.shape for name, parameter in separate.unet.named_parameters() if not name.startswith("up.")
    ]
    separate.audio_encoder.load_state_dict(separate.unet.state_dict(), strict=False)
    torch.testing.assert_close(
        separate.embed_audio(spectrogram()), separate.pool_audio(separate.unet.encode(spectrogram())[-1])
    )
    separate.embed_audio(spectrogram()).square().sum().backward()
    assert [name for name, parameter in separate.named_parameters() if parameter.grad is not None] == [
        f"audio_encoder.{name}" for name, _ in separate.audio_encoder.named_parameters()
    ]


def test_training_on_regions_and_on_the_embedding_reaches_every_parameter() -> None:
    model = network(audio_encoder="separate", chunk_regions=4).train()
    output = model(spectrogram(), QueryEmbedding(regions=regions()))
    (output.masks.square().sum() + model.embed_audio(spectrogram()).square().sum()).backward()
    assert [
        name for name, value in model.named_parameters() if value.grad is None or not value.grad.abs().max() > 0
    ] == []


def test_the_defaults_are_the_papers_and_the_bottleneck_follows_the_embedding() -> None:
    assert (Config().embedding_dim, Config().unet.base_width, Config().level) == (1024, 64, "region")
    model = dataclasses.replace(Config.tiny(), embedding_dim=12).build()
    assert model.embed_audio(spectrogram()).shape == (2, 12)
    assert model.contract.time_multiple == 8 and model.contract.reads == "regions"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unet": UNetConfig()}, "unet.out_channels: .*expected 1, got 32"),
        (
            {"unet": UNetConfig(out_channels=1, bottleneck_width=9)},
            "unet.bottleneck_width: expected embedding_dim, 8, .*got 9",
        ),
        ({"chunk_regions": 0}, "chunk_regions and region_grid: expected at least 1, got 0 and 2"),
        ({"region_grid": 0}, "chunk_regions and region_grid: expected at least 1, got 32 and 0"),
        ({"vector_regions": 0.0}, "vector_regions and query_scale: expected above 0"),
        ({"query_scale": 0.0}, "vector_regions and query_scale: expected above 0"),
        ({"level": "video", "vector_regions": 2.0}, "vector_regions: at level 'video'"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(Config.tiny(), **changes)


def test_one_region_at_once_of_a_grid_of_one_is_enough() -> None:
    model = network(chunk_regions=1, region_grid=1)
    pooled = regions().mean(dim=(3, 4))
    masks = model(spectrogram(), QueryEmbedding(regions=regions())).masks
    expected = torch.stack([mask_of(model, pooled[:, 0, frame]) for frame in range(3)]).mean(dim=0)
    torch.testing.assert_close(masks[:, 0], expected)


def test_a_query_of_neither_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="VAST reads regions or query vectors, and the query carries neither"):
        network()(spectrogram(), QueryEmbedding())


def test_the_audio_embedding_leaves_the_statistics_of_mixtures_alone() -> None:
    model = network().train()
    model(spectrogram(), QueryEmbedding(regions=regions()))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    embedded = model.embed_audio(spectrogram() - 5)
    assert [key for key, value in model.state_dict().items() if not torch.equal(value, before[key])] == []
    assert all(layer.training for layer in model.modules())
    torch.testing.assert_close(embedded, model.eval().embed_audio(spectrogram() - 5))
    separate = network(audio_encoder="separate").train()
    before = {key: value.clone() for key, value in separate.state_dict().items()}
    separate.embed_audio(spectrogram() - 5)
    changed = [key for key, value in separate.state_dict().items() if not torch.equal(value, before[key])]
    assert changed and all(key.startswith("audio_encoder.") for key in changed)
