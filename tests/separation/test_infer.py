"""Segmented masks equal those of one run over everything, once the context covers the measured reach."""

import weakref
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from trisep.errors import ConfigError
from trisep.models.clipsep import Config
from trisep.networks.audio_unet import UNetConfig
from trisep.separation.infer import (
    Network,
    SegmentPlan,
    infer,
    mask_segments,
    measure_reach,
    plan_segments,
    plan_windows,
    run_network,
)
from trisep.spectrogram.log_frequency import to_log_frequency
from trisep.spectrogram.stft import stft
from trisep.types import MaskOutput, QueryEmbedding, SignalSettings

SIGNAL = SignalSettings()


def unet(upsampling: str = "transposed") -> Network:
    """A small CLIPSep with two queries, as a function of the spectrogram."""
    torch.manual_seed(3)
    shape = UNetConfig(num_levels=3, base_width=4, max_width=8, out_channels=4, upsampling=upsampling)  # type: ignore[arg-type]
    model = Config(embedding_dim=8, unet=shape).build().eval().requires_grad_(False)
    vectors = torch.randn(1, 2, 8)
    return lambda x: model(x, QueryEmbedding(vectors=vectors.expand(len(x), -1, -1)))


def blocks(waveform: np.ndarray, size: int = 777) -> Iterator[np.ndarray]:
    """Portions of a sound."""
    return (waveform[at : at + size] for at in range(0, len(waveform), size))


def whole(waveform: np.ndarray, network: Network, gain: float = 1.0) -> Tensor:
    """Masks of one run over everything."""
    magnitude = to_log_frequency(stft(torch.from_numpy(waveform)[None] * gain, SIGNAL).abs(), 256)
    num_frames = magnitude.shape[-1]
    there_and_back = torch.cat([magnitude, magnitude[..., 1:-1].flip(-1)], dim=-1).repeat(1, 1, 8)
    mirrored = there_and_back[..., : -(-num_frames // 8) * 8]
    return network((mirrored + 1e-10).log()[:, None]).masks[0][..., :num_frames]


@pytest.mark.parametrize(
    "num_samples", [0, 1, 4000, 16000 * 2, 256 * 63, 256 * 64 - 1, 256 * 64, 256 * 64 + 300, 256 * 72, 20011]
)
def test_segmented_equals_unsegmented(num_samples: int) -> None:
    network = unet()
    waveform = np.random.default_rng(1).normal(0, 0.1, num_samples).astype(np.float32)
    reach = measure_reach(network, time_multiple=8)
    plan = plan_segments(SIGNAL, segment_seconds=0.5, reach_frames=reach, time_multiple=8)
    assert plan.num_core_frames == 32
    segments = list(mask_segments(blocks(waveform), network, SIGNAL, plan, gain=2.0))
    joined = torch.cat([segment.masks for segment in segments], dim=-1)
    assert joined.shape[-1] == 1 + num_samples // 256
    assert [segment.is_last for segment in segments] == [False] * (len(segments) - 1) + [True]
    assert all(segment.magnitude.shape[-1] == segment.masks.shape[-1] for segment in segments)
    reference = whole(waveform, network, 2.0) if num_samples else joined
    torch.testing.assert_close(joined, reference, rtol=0, atol=2e-6)


def test_the_masks_of_a_segment_are_let_go_of_before_the_next_one_is_computed() -> None:
    given: list[weakref.ref[Tensor]] = []
    alive: list[int] = []

    def network(x: Tensor) -> MaskOutput:
        alive.append(sum(masks() is not None for masks in given))
        masks = torch.full((1, 2, 256, x.shape[-1]), 0.5)
        given.append(weakref.ref(masks))
        return MaskOutput(masks=masks, logits=masks, noise_masks=None, bottleneck=x)

    plan = SegmentPlan(time_multiple=8, num_core_frames=16, num_context_frames=8, num_fade_frames=2)
    sound = np.zeros(256 * 70, np.float32)
    lengths = []
    for segment in mask_segments(blocks(sound), network, SIGNAL, plan):
        lengths.append(segment.masks.shape[-1])
        del segment
    assert lengths == [14, 16, 16, 25] and alive == [0] * 4


def test_too_little_context_shows() -> None:
    network = unet()
    waveform = np.random.default_rng(1).normal(0, 0.1, 32000).astype(np.float32)
    plan = SegmentPlan(time_multiple=8, num_core_frames=16, num_context_frames=8, num_fade_frames=1)
    joined = torch.cat([segment.masks for segment in mask_segments(blocks(waveform), network, SIGNAL, plan)], dim=-1)
    assert float((joined - whole(waveform, network)).abs().max()) > 1e-4


def moving_average(reach: int) -> Network:
    """A network that looks exactly `reach` frames to either side."""

    def network(x: Tensor) -> MaskOutput:
        kernel = torch.full((1, 1, 1, 2 * reach + 1), 1 / (2 * reach + 1))
        logits = torch.nn.functional.conv2d(x, kernel, padding=(0, reach))
        return MaskOutput(masks=torch.sigmoid(logits), logits=logits)

    return network


@pytest.mark.parametrize("reach", [0, 1, 7, 31, 32, 100])
def test_the_reach_of_a_known_network_is_measured_exactly(reach: int) -> None:
    assert measure_reach(moving_average(reach), time_multiple=8) == reach


def test_the_reach_of_a_network_that_looks_everywhere_is_bounded() -> None:
    def network(x: Tensor) -> MaskOutput:
        return MaskOutput(masks=torch.sigmoid(0.1 * x + x.mean(dim=-1, keepdim=True)))

    assert measure_reach(network, time_multiple=2) == 64


def test_a_joint_is_cross_faded() -> None:
    """A network that answers with the number of its call: masks go from 0 to 1 in even steps around the joint."""
    calls: list[int] = []

    def network(x: Tensor) -> MaskOutput:
        calls.append(len(calls))
        return MaskOutput(masks=torch.full((1, 1, 256, x.shape[-1]), float(calls[-1])))

    plan = SegmentPlan(time_multiple=8, num_core_frames=32, num_context_frames=8, num_fade_frames=2)
    segments = list(mask_segments(blocks(np.zeros(256 * 50, np.float32)), network, SIGNAL, plan))
    row = torch.cat([segment.masks for segment in segments], dim=-1)[0, 0]
    assert row.tolist() == [0.0] * 30 + [0.125, 0.375, 0.625, 0.875] + [1.0] * 17


@pytest.mark.parametrize(("core", "context", "fade"), [(0, 8, 1), (12, 8, 1), (16, 9, 1), (16, 8, 0), (8, 8, 5)])
def test_plans_that_do_not_fit_are_refused(core: int, context: int, fade: int) -> None:
    with pytest.raises(ConfigError):
        SegmentPlan(time_multiple=8, num_core_frames=core, num_context_frames=context, num_fade_frames=fade)


def test_frames_that_the_network_needs_beyond_the_end_are_the_last_ones_mirrored() -> None:
    inputs: list[Tensor] = []

    def network(x: Tensor) -> MaskOutput:
        inputs.append(x)
        return MaskOutput(masks=torch.sigmoid(x), logits=x, noise_masks=x + 1)

    magnitude = torch.arange(1.0, 6.0).expand(1, 256, 5)
    output = run_network(network, magnitude, 12)
    assert inputs[0].shape == (1, 1, 256, 12)
    frames = inputs[0][0, 0, 7].exp().round().int().tolist()
    assert frames == [1, 2, 3, 4, 5, 4, 3, 2, 1, 2, 3, 4]
    assert output.logits is not None and output.noise_masks is not None
    assert output.masks.shape == output.logits.shape == output.noise_masks.shape == (1, 1, 256, 5)
    assert run_network(network, magnitude[..., :1], 8).masks.shape[-1] == 1
    assert torch.equal(inputs[1], inputs[1][..., :1].expand(-1, -1, -1, 8))


@pytest.mark.parametrize("num_frames", [3, 13, 29, 40])
def test_the_end_of_a_sound_is_the_same_as_where_the_mirrored_sound_goes_on(num_frames: int) -> None:
    """What follows the end is what the network makes of it: the masks equal those of the longer, mirrored picture."""
    network = unet()
    magnitude = torch.rand(1, 256, num_frames, generator=torch.Generator().manual_seed(num_frames))
    longer = torch.cat([magnitude, magnitude[..., 1:-1].flip(-1), magnitude, magnitude[..., 1:-1].flip(-1)], dim=-1)
    num_padded = -(-num_frames // 8) * 8
    expected = network((longer[..., :num_padded] + 1e-10).log()[:, None]).masks[..., :num_frames]
    torch.testing.assert_close(run_network(network, magnitude, num_padded).masks, expected)


@pytest.mark.parametrize("num_samples", [1, 5000, 8191, 8192, 20011, 40000])
def test_a_network_that_depends_on_its_length_is_given_windows_of_training_length(num_samples: int) -> None:
    lengths: list[int] = []
    network = unet("bilinear")

    def noting(x: Tensor) -> MaskOutput:
        lengths.append(x.shape[-1])
        return network(x)

    signal = SignalSettings(clip_samples=256 * 32 - 1)
    plan = plan_windows(signal, time_multiple=8)
    assert (plan.num_window_frames, plan.num_core_frames, plan.num_context_frames) == (32, 16, 8)
    waveform = np.random.default_rng(2).normal(0, 0.1, num_samples).astype(np.float32)
    found = infer(waveform, noting, signal, plan)
    assert set(lengths) == {32} and found.masks.shape == (2, 256, 1 + num_samples // 256)
    if num_samples <= signal.clip_samples:
        assert len(lengths) == 1


def test_a_sound_is_brought_to_the_level_of_training_whatever_its_offset() -> None:
    network = unet()
    plan = plan_segments(SIGNAL, segment_seconds=1.0, reach_frames=32, time_multiple=8)
    waveform = np.random.default_rng(4).normal(0, 0.1, 20000).astype(np.float32)
    plain = infer(waveform, network, SIGNAL, plan)
    torch.testing.assert_close(infer(waveform * 0.01, network, SIGNAL, plan).masks, plain.masks, rtol=0, atol=1e-5)
    shifted = infer(waveform + np.float32(0.5), network, SIGNAL, plan)
    # The lowest rows hold the offset itself and the first and last frames its edges; the rest is at the same level.
    inner = (slice(40, None), slice(3, -3))
    torch.testing.assert_close(shifted.magnitude[inner], plain.magnitude[inner], rtol=2e-3, atol=2e-3)
    assert infer(np.zeros(3000, np.float32), network, SIGNAL, plan).masks.isfinite().all()


def test_noise_masks_travel_with_the_masks() -> None:
    plan = plan_segments(SIGNAL, segment_seconds=0.5, reach_frames=8, time_multiple=8)

    def network(x: Tensor) -> MaskOutput:
        return MaskOutput(masks=torch.sigmoid(x), noise_masks=torch.cat([x, x + 1, x + 2], dim=1))

    found = infer(np.random.default_rng(5).normal(0, 0.1, 40000).astype(np.float32), network, SIGNAL, plan)
    assert found.noise_masks is not None and found.noise_masks.shape == (3, 256, 157)
    torch.testing.assert_close(found.noise_masks[2] - found.noise_masks[0], torch.full((256, 157), 2.0))


def test_context_is_no_longer_than_a_look_of_this_reach_needs() -> None:
    plans = [
        plan_segments(SignalSettings(), segment_seconds=20, reach_frames=reach, time_multiple=128)
        for reach in (0, 120, 255, 256)
    ]
    assert [(plan.num_context_frames, plan.num_fade_frames) for plan in plans] == [
        (128, 8),
        (128, 8),
        (256, 1),
        (384, 8),
    ]
