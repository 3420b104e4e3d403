"""A separation as it runs: sources that are read twice, what the survey finds, masks applied to a source's own samples,
and the run as a whole with a network whose answer is known.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soxr
import torch
from torch import Tensor

from trisep.errors import MediaError
from trisep.media.audio_writer import write_audio
from trisep.queries.embed import EmbeddedQueries
from trisep.separation import streaming
from trisep.separation.infer import Network, SegmentPlan
from trisep.separation.presence import EvidenceWeights, PresenceCalibration, StemEvidence
from trisep.separation.source import mono_blocks, open_source, survey
from trisep.separation.streaming import MaskApplier, SeparatedSegment, SeparationRun
from trisep.spectrogram.log_frequency import MaskGrid, settings_at_rate
from trisep.spectrogram.masks import apply_masks
from trisep.spectrogram.stft import stft
from trisep.types import Audio, MaskOutput, SignalSettings

SIGNAL = SignalSettings()
PLAN = SegmentPlan(time_multiple=8, num_core_frames=32, num_context_frames=8, num_fade_frames=2)


def noise(num_samples: int, num_channels: int = 1, rate_hz: int = 16000) -> Audio:
    samples = np.random.default_rng(0).normal(0, 0.1, (num_channels, num_samples)).astype(np.float32)
    return Audio(samples, rate_hz)


def cut(samples: np.ndarray, *sizes: int) -> Iterator[np.ndarray]:
    """A sound in blocks of these sizes, over and over."""
    at = 0
    while at < samples.shape[-1]:
        for size in sizes:
            yield samples[..., at : at + size]
            at += size


def square(num_samples: int, level: float, offset: float = 0.0) -> np.ndarray:
    """±level by turns, beside a constant: RMS without the mean = level, for an even number of samples."""
    return (offset + level * np.tile([1.0, -1.0], num_samples // 2)).astype(np.float32)[None]


@pytest.mark.parametrize("num_samples", [1, 65535, 65536, 65537, 200001])
def test_a_sound_in_memory_is_read_as_often_as_one_likes_in_blocks(num_samples: int) -> None:
    audio = noise(num_samples, 2, 44100)
    source = open_source(audio)
    assert (source.sample_rate_hz, source.num_channels, source.path) == (44100, 2, None)
    for _ in range(2):
        blocks = list(source.blocks())
        assert max(block.shape[1] for block in blocks) <= 65536 and min(block.shape[1] for block in blocks) > 0
        np.testing.assert_array_equal(np.concatenate(blocks, axis=1), audio.samples)


def test_a_file_is_read_as_often_as_one_likes_in_blocks(tmp_path: Path) -> None:
    audio = noise(100001, 2, 44100)
    write_audio(tmp_path / "a.wav", audio, subtype="wav_float32")
    source = open_source(str(tmp_path / "a.wav"))
    assert (source.sample_rate_hz, source.num_channels, source.path) == (44100, 2, tmp_path / "a.wav")
    for _ in range(2):
        blocks = list(source.blocks())
        assert len(blocks) == 2
        np.testing.assert_array_equal(np.concatenate(blocks, axis=1), audio.samples)


def test_a_file_that_is_cut_off_is_an_error_unless_that_is_allowed(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", noise(32000), subtype="wav_float32")
    (tmp_path / "cut.wav").write_bytes((tmp_path / "a.wav").read_bytes()[:64000])
    with pytest.raises(MediaError, match="cut.wav"):
        survey(open_source(tmp_path / "cut.wav"), 16000)
    assert 15000 < survey(open_source(tmp_path / "cut.wav", allow_truncated=True), 16000).num_samples <= 16000
    with pytest.raises(MediaError, match="stream"):
        open_source(tmp_path / "a.wav", stream=1)
    with pytest.raises(MediaError, match="absent.wav: no such file"):
        open_source(tmp_path / "absent.wav")


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((1, 0)), r"empty or not \[channels, samples\], but \[1, 0\]"),
        (np.zeros(5), r"empty or not \[channels, samples\], but \[5\]"),
        (np.array([[0.0, np.nan]]), "not finite numbers"),
        (np.array([[0.0, -np.inf]]), "not finite numbers"),
    ],
)
def test_a_sound_in_memory_that_is_none(samples: np.ndarray, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        open_source(Audio(samples, 16000))


def test_the_survey_by_hand() -> None:
    found = survey(open_source(Audio(square(100000, 0.1, offset=0.5), 16000)), 16000)
    assert (found.num_samples, found.num_mono_samples) == (100000, 100000)
    assert found.level_db == pytest.approx(-20.0, abs=1e-4)
    assert not found.is_silent and found.unheard.offsets == pytest.approx([0.5]) and not found.unheard.has_rumble
    opposite = np.concatenate([square(1000, 0.1), -square(1000, 0.1)])
    found = survey(open_source(Audio(opposite, 16000)), 16000)
    assert found.level_db == pytest.approx(-20.0, abs=1e-4) and not found.is_silent and not found.unheard
    one_sided = np.concatenate([square(1000, 0.2), np.zeros((1, 1000), np.float32)])
    assert survey(open_source(Audio(one_sided, 16000)), 16000).level_db == pytest.approx(-20.0, abs=1e-4)


def test_the_survey_counts_at_both_rates_and_hears_what_the_model_hears() -> None:
    times = np.arange(44100) / 44100
    for frequency_hz, least_db, most_db in ((1000.0, -23.1, -22.9), (12000.0, -math.inf, -50.0)):
        tone = (0.1 * np.sin(2 * np.pi * frequency_hz * times)).astype(np.float32)[None]
        found = survey(open_source(Audio(tone, 44100)), 16000)
        assert (found.num_samples, found.num_mono_samples) == (44100, 16000)
        assert least_db <= found.level_db <= most_db


@pytest.mark.parametrize("sizes", [(1000,), (1, 30000, 7), (100000,)])
def test_the_downmix_does_not_depend_on_blocks(sizes: tuple[int, ...]) -> None:
    stereo = noise(50001, 2, 44100).samples
    mean = (stereo[0] + stereo[1]) / 2
    found = np.concatenate(list(mono_blocks(cut(stereo, *sizes), 44100, 16000, num_channels=2)))
    np.testing.assert_allclose(found, soxr.resample(mean, 44100, 16000, "HQ"), atol=1e-6)
    same_rate = np.concatenate(list(mono_blocks(cut(stereo, *sizes), 16000, 16000, num_channels=2)))
    np.testing.assert_allclose(same_rate, mean, atol=1e-7)


def test_a_rate_that_is_none() -> None:
    with pytest.raises(MediaError, match="cannot resample from 0 Hz to 16000 Hz; convert the sound to a usual rate"):
        list(mono_blocks(iter([np.zeros((1, 5), np.float32)]), 0, 16000, num_channels=1))


def applier(rate_hz: int, num_channels: int, num_queries: int) -> MaskApplier:
    target = settings_at_rate(SIGNAL, rate_hz)
    layout = {"num_channels": num_channels, "num_queries": num_queries}
    return MaskApplier(target, MaskGrid(SIGNAL, target), **layout, device="cpu")


def applied(
    audio: Audio, masks: Tensor, *, num_pushed: tuple[int, ...], num_masks: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Samples pushed in blocks of these sizes, and after each a few frames of masks, until all are given."""
    apply = applier(audio.sample_rate_hz, audio.num_channels, len(masks))
    blocks, frames = list(cut(audio.samples, *num_pushed)), list(cut(np.arange(masks.shape[-1]), *num_masks))
    parts = []
    for block in blocks:
        apply.push(block)
        chosen = frames.pop(0) if len(frames) > 1 else np.arange(0)
        parts.append(apply.apply(masks[..., chosen], is_last=False))
    rest = np.concatenate(frames)
    parts.append(apply.apply(masks[..., rest], is_last=True))
    return tuple(np.concatenate([getattr(part, name) for part in parts], axis=-1) for name in ("mixture", "stems"))


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100])
def test_constant_masks_scale_every_channel(rate_hz: int) -> None:
    audio = noise(rate_hz + 13, 2, rate_hz)
    masks = torch.tensor([0.0, 0.25, 1.0])[:, None, None].expand(-1, 256, 64)
    mixture, stems = applied(audio, masks, num_pushed=(5000, 1, 70), num_masks=(3, 9))
    np.testing.assert_array_equal(mixture, audio.samples)
    expected = np.stack([0 * audio.samples, 0.25 * audio.samples, audio.samples])
    np.testing.assert_allclose(stems, expected, atol=1e-6)


def test_at_the_models_rate_masks_act_as_on_the_whole_spectrogram() -> None:
    audio = noise(16000 + 77, 2)
    masks = torch.rand(3, 256, 1 + 16077 // 256, generator=torch.Generator().manual_seed(0))
    mixture, stems = applied(audio, masks, num_pushed=(3000, 999), num_masks=(5, 11))
    np.testing.assert_array_equal(mixture, audio.samples)
    spectrum = stft(torch.from_numpy(audio.samples), SIGNAL)
    expected = apply_masks(spectrum, masks[None].expand(2, -1, -1, -1), SIGNAL, 16077).transpose(0, 1)
    np.testing.assert_allclose(stems, expected, atol=2e-6)


@pytest.mark.parametrize(("rate_hz", "num_samples"), [(44100, 50001), (8000, 9001), (48000, 1)])
def test_neither_blocks_nor_segments_show(rate_hz: int, num_samples: int) -> None:
    audio = noise(num_samples, 1, rate_hz)
    num_frames = 1 + math.ceil(num_samples * 16000 / rate_hz) // 256
    masks = torch.rand(2, 256, num_frames, generator=torch.Generator().manual_seed(0))
    mixture, whole = applied(audio, masks, num_pushed=(10**6,), num_masks=(10**6,))
    np.testing.assert_array_equal(mixture, audio.samples)
    assert whole.shape == (2, 1, num_samples)
    for num_pushed, num_masks in (((4096,), (8,)), ((1000, 5), (1, 7))):
        _, parts = applied(audio, masks, num_pushed=num_pushed, num_masks=num_masks)
        np.testing.assert_allclose(parts, whole, atol=1e-6)


def test_frames_are_transformed_in_portions_that_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    audio = noise(20001, 2)
    masks = torch.rand(2, 256, 79, generator=torch.Generator().manual_seed(0))
    _, whole = applied(audio, masks, num_pushed=(10**6,), num_masks=(10**6,))
    monkeypatch.setattr(streaming, "_PORTION_VALUES", 1)
    _, parts = applied(audio, masks, num_pushed=(10**6,), num_masks=(10**6,))
    np.testing.assert_allclose(parts, whole, atol=1e-6)


def test_samples_are_given_as_far_as_masks_reach_and_no_further() -> None:
    audio = noise(16000)
    apply = applier(16000, 1, 1)
    apply.push(audio.samples)
    masks = torch.ones(1, 256, 63)
    # The last mask may still be read between itself and the next, so frame 29 of 30 is the last that is transformed;
    # its window of 1024 samples ends the completed ones half a window before its centre, 29 · 256 − 512.
    first = apply.apply(masks[..., :30], is_last=False)
    assert first.mixture.shape[1] == first.stems.shape[2] == 29 * 256 - 512 + 256
    assert apply.apply(masks[..., :0], is_last=False).mixture.shape == (1, 0)
    last = apply.apply(masks[..., 30:], is_last=True)
    assert last.mixture.shape[1] == 16000 - (29 * 256 - 256)


def test_the_residual_is_the_mixture_less_all_stems() -> None:
    mixture = np.array([[1.0, -2.0]], np.float32)
    stems = np.array([[[0.25, 0.5]], [[0.5, -1.0]]], np.float32)
    segment = SeparatedSegment(mixture, mixture - 1, stems, torch.zeros(2, 256, 1))
    assert segment.residual.tolist() == [[0.25, -1.5]] and segment.residual.dtype == np.float32
    assert segment.heard_residual.tolist() == [[-0.75, -2.5]]


def constant(*values: float) -> Network:
    """A network that answers each query with one number everywhere."""

    def network(log_magnitude: Tensor) -> MaskOutput:
        masks = torch.tensor(values)[None, :, None, None].expand(1, -1, 256, log_magnitude.shape[-1])
        return MaskOutput(masks=masks)

    return network


def run(
    audio: Audio | Path, network: Network, num_queries: int, *, num_references: int = 0, **options: object
) -> SeparationRun:
    asked = num_queries + num_references
    queries = EmbeddedQueries(torch.zeros(asked, 8), tuple(range(asked)))
    settings = {"queries": queries, "num_queries": num_queries, "device": torch.device("cpu"), **options}
    return SeparationRun(open_source(audio), network, SIGNAL, lambda _: PLAN, **settings)  # type: ignore[arg-type]


def all_of(running: SeparationRun) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mixture, stems and masks over all segments."""
    parts = list(running.segments())
    assert len(parts) > 1
    return (
        np.concatenate([part.mixture for part in parts], axis=-1),
        np.concatenate([part.stems for part in parts], axis=-1),
        torch.cat([part.masks for part in parts], dim=-1).numpy(),
    )


@pytest.mark.parametrize(("exclusive", "shares"), [(False, (0.25, 0.5)), (True, (2 / 11, 6 / 11))])
def test_a_run_by_hand(exclusive: bool, shares: tuple[float, float]) -> None:
    # Odds of 1/3 and 1; the rest counts ½: (1/3) / (1/2 + 4/3) = 2/11, 1 / (1/2 + 4/3) = 6/11. References do not share.
    audio = noise(44100, 2, 44100)
    running = run(audio, constant(0.25, 0.5, 0.9), 2, num_references=1, exclusive=exclusive)
    mixture, stems, masks = all_of(running)
    np.testing.assert_array_equal(mixture, audio.samples)
    assert masks.shape == (2, 256, 1 + 16000 // 256)
    for index, share in enumerate(shares):
        np.testing.assert_allclose(masks[index], share, atol=1e-6)
        np.testing.assert_allclose(stems[index], share * audio.samples, atol=1e-6)
    level_db = 10 * math.log10(np.square(audio.samples, dtype=np.float64).mean())
    found = running.stems(["a", "b"], PresenceCalibration(), None)
    assert [stem.query for stem in found] == ["a", "b"]
    assert [stem.level_db for stem in found] == pytest.approx([level_db + 20 * math.log10(x) for x in shares], abs=1e-3)
    assert all(stem.audio.samples.shape == (2, 0) and stem.audio.sample_rate_hz == 44100 for stem in found)
    assert len(found[0].activity) == 10 and found[0].activity_hop_seconds == 0.1
    first_hop = math.sqrt(np.square(audio.samples[:, :4410], dtype=np.float64).mean())
    assert found[1].activity[0] == pytest.approx(shares[1] * first_hop, rel=1e-4)
    with_sound = running.stems(["a", "b"], PresenceCalibration(), None, stems)
    np.testing.assert_array_equal(with_sound[1].audio.samples, stems[1])


def test_presence_comes_of_the_masks_as_the_network_gave_them() -> None:
    running = run(noise(30000), constant(0.25, 0.5, 0.8, 0.6), 2, num_references=2)
    all_of(running)
    features = running.features()
    assert [value["level_ratio_db"] for value in features] == pytest.approx([-12.0412, -6.0206], abs=1e-3)
    assert [value["mean_logit"] for value in features] == pytest.approx([-math.log(3), 0.0], abs=1e-5)
    references = (math.log(4) + math.log(1.5)) / 2
    relative = [value["relative_mean_logit"] for value in features]
    assert relative == pytest.approx([-math.log(3) - references, -references], abs=1e-5)
    calibration = PresenceCalibration(features=("mean_logit",), weights=(1.0,), bias=0.0, threshold=0.4)
    stems = running.stems(["a", "b"], calibration, None)
    assert [stem.presence for stem in stems] == pytest.approx([0.25, 0.5], abs=1e-5)
    assert [stem.present for stem in stems] == [False, True]
    assert [stem.present for stem in running.stems(["a", "b"], calibration, 0.1)] == [True, True]


def test_the_stems_are_heard_as_they_come() -> None:
    class Ear(StemEvidence):
        """Keeps what it is given."""

        def __init__(self) -> None:
            self.blocks: list[np.ndarray] = []
            self.mixtures: list[np.ndarray] = []
            self.facts: list[tuple[int, float, bool]] = []

        def update(
            self, stems: np.ndarray, mixture: np.ndarray, rate_hz: int, *, mixture_level_db: float, is_last: bool
        ) -> None:
            self.blocks.append(stems)
            self.mixtures.append(mixture)
            self.facts.append((rate_hz, mixture_level_db, is_last))

        def values(self) -> dict[int, dict[str, float]]:
            return {1: {"evidence": 2.0, "max_evidence": 3.0, "mixture_evidence": 9.0}}

    ear = Ear()
    running = run(noise(30000, 2), constant(0.25, 0.5), 2, evidence=ear)
    _, stems, _ = all_of(running)
    np.testing.assert_array_equal(np.concatenate(ear.blocks, axis=-1), stems)
    assert np.concatenate(ear.mixtures, axis=-1).shape == stems.shape[1:]
    assert {fact[:2] for fact in ear.facts} == {(16000, running.survey.level_db)}
    assert [fact[2] for fact in ear.facts] == [False] * (len(ear.facts) - 1) + [True]
    heard = {"features": ("evidence", "max_evidence"), "weights": (1.0, -1.0), "bias": 0.0}
    levels = {"features": ("mean_logit",), "weights": (0.0,), "bias": 4.0}
    calibration = PresenceCalibration(**levels, with_evidence=EvidenceWeights(**heard))  # type: ignore[arg-type]
    found = [stem.presence for stem in running.stems(["picture", "words"], calibration, None)]
    assert found == pytest.approx([1 / (1 + math.exp(-4)), 1 / (1 + math.e)])


def test_the_activity_is_the_greatest_of_half_seconds() -> None:
    loud_at_first = noise(32000).samples * (np.arange(32000) < 5000)
    running = run(Audio(loud_at_first.astype(np.float32), 16000), constant(0.5), 1)
    power = np.concatenate([np.square(part.magnitude.numpy()).sum(axis=0) for part in running.mask_segments()])
    windows = [power[at : at + 31].sum() for at in range(0, len(power), 31)]  # 31 hops of 256 samples: half a second
    expected = 10 * math.log10(0.25 * windows[0] / (windows[0] + 0.05 * np.mean(windows)))
    assert running.features()[0]["max_activity_db"] == pytest.approx(expected, abs=1e-3)


def test_features_without_references_are_not_relative() -> None:
    running = run(noise(20000), constant(0.25), 1)
    for _ in running.mask_segments():
        pass
    (features,) = running.features()
    assert not any(name.startswith("relative") for name in features)


@pytest.mark.parametrize("level", [0.001, 0.1, 3.0])
def test_the_network_reads_the_mixture_at_the_level_of_training(level: float) -> None:
    heard = []

    def network(log_magnitude: Tensor) -> MaskOutput:
        heard.append(log_magnitude)
        return constant(0.5)(log_magnitude)

    running = run(Audio(noise(20000).samples * np.float32(level / 0.1), 16000), network, 1)
    assert running.gain == pytest.approx(0.1 / level, rel=0.02)  # to −20 dBFS
    all_of(running)
    reference = []
    for segment in run(noise(20000), constant(0.5), 1).mask_segments():
        reference.append(segment.magnitude)
    expected = (reference[0][:, :20] + 1e-10).log()
    torch.testing.assert_close(heard[0][0, 0, :, :20], expected, rtol=0, atol=1e-3)


def test_progress_goes_up_to_one() -> None:
    told: list[float] = []
    parts = list(run(noise(30000), constant(0.5), 1).segments(told.append))
    assert len(told) == len(parts) > 2 and told == sorted(told) and told[-1] == 1.0
    assert told[0] == parts[0].mixture.shape[1] / 30000


def test_whoever_listens_is_handed_the_sources_blocks(tmp_path: Path) -> None:
    audio = noise(100000, 2, 44100)
    blocks: list[np.ndarray] = []
    segments = list(
        run(audio, constant(0.5, 0.7), 1, num_references=1).mask_segments(lambda block, heard: blocks.append(block))
    )
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), audio.samples)
    assert sum(segment.masks.shape[-1] for segment in segments) == 1 + 36282 // 256
    assert segments[0].masks.shape[0] == 2  # the reference too


def test_silence_is_told_and_nothing_is_present_in_it() -> None:
    running = run(Audio(np.zeros((1, 20000), np.float32), 16000), constant(0.5), 1)
    assert running.gain == 1.0
    _, stems, _ = all_of(running)
    assert not stems.any()
    (stem,) = running.stems(["a"], PresenceCalibration(bias=50.0), None)
    assert (stem.presence, stem.present, stem.level_db) == (0.0, False, -math.inf)
    assert running.stems(["a"], PresenceCalibration(), 0.0)[0].present
    assert running.notes() == ("the input is silent: every stem is silent too",)


@pytest.mark.parametrize(
    ("above_nyquist", "note"),
    [
        ("top", "stems repeat the average mask of the model's top band"),
        ("mute", "stems are silent"),
        ("keep", "stems hold the whole mixture"),
    ],
)
def test_what_is_above_the_models_band(above_nyquist: str, note: str) -> None:
    times = np.arange(44100) / 44100
    tone = Audio((0.1 * np.sin(2 * np.pi * 15000 * times)).astype(np.float32)[None], 44100)
    running = run(tone, constant(0.25), 1, above_nyquist=above_nyquist)
    assert running.notes()[-1] == f"above 8 kHz, which the model does not hear, {note}"
    mixture, stems, _ = all_of(running)
    middle = slice(5000, 40000)
    share = {"top": 0.25, "mute": 0.0, "keep": 1.0}[above_nyquist]
    np.testing.assert_allclose(stems[0, 0, middle], share * mixture[0, middle], atol=1e-3)
    assert run(noise(20000), constant(0.25), 1, above_nyquist=above_nyquist).notes() == ()


def test_the_facts_of_the_report(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", noise(11025, 2, 22050), subtype="wav_float32")
    facts = {"input": str(tmp_path / "a.wav"), "sample_rate_hz": 22050, "channels": 2, "duration_seconds": 0.5}
    assert run(tmp_path / "a.wav", constant(0.5), 1).facts() == facts
    assert run(noise(8000), constant(0.5), 1).facts()["input"] is None


def test_the_plan_is_made_for_the_length_at_the_models_rate() -> None:
    asked: list[int] = []
    source = open_source(noise(44100, 1, 44100))
    queries = EmbeddedQueries(torch.zeros(1, 8), (0,))

    def plan(num_samples: int) -> SegmentPlan:
        asked.append(num_samples)
        return PLAN

    options = {"queries": queries, "num_queries": 1, "device": torch.device("cpu")}
    running = SeparationRun(source, constant(0.5), SIGNAL, plan, **options)  # type: ignore[arg-type]
    assert asked == [16000] and running.plan is PLAN and running.queries is queries


def test_what_a_network_freed_goes_back_before_its_masks_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    def network(log_magnitude: Tensor) -> MaskOutput:
        events.append("network")
        return constant(0.5)(log_magnitude)

    running = run(noise(30000), network, 1)
    monkeypatch.setattr("trisep.separation.streaming.give_back_freed", lambda: events.append("freed"))
    for _ in running.mask_segments():
        events.append("masks")
    assert len(events) > 6 and events == ["network", "freed", "masks"] * (len(events) // 3)


def test_a_segment_of_many_values_is_given_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    # Held at once are 3 channels of mixture and two stems: 9 values a sample.
    audio = noise(60000, 3, 16000)
    whole = all_of(run(audio, constant(0.25, 0.5), 2))
    monkeypatch.setattr("trisep.separation.streaming._SLICE_VALUES", 9 * 4096)
    running = run(audio, constant(0.25, 0.5), 2)
    parts = list(running.segments())
    assert max(part.mixture.shape[1] for part in parts) <= 4096 + SIGNAL.window_samples < 60000 / 10
    np.testing.assert_array_equal(np.concatenate([part.mixture for part in parts], axis=-1), audio.samples)
    np.testing.assert_allclose(np.concatenate([part.stems for part in parts], axis=-1), whole[1], atol=1e-6)
    np.testing.assert_array_equal(torch.cat([part.masks for part in parts], dim=-1).numpy(), whole[2])
