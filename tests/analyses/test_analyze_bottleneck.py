"""What a network holds in its bottleneck: which stretch it hears, at which level, and what is written."""

from pathlib import Path

import numpy as np
import pytest
import torch
from analysed import save_checkpoint
from training_stores import Loudness

from trisep.analyses.bottleneck import choose_clips, load_models, pooled_bottlenecks, short_names, teacher_embeddings
from trisep.checkpoints.format import load_model
from trisep.errors import CheckpointError, StoreError
from trisep.models import hfra, vast, wave_u_net
from trisep.spectrogram.log_frequency import log_magnitude, to_log_frequency
from trisep.spectrogram.stft import stft
from trisep.store.read import ClipStore
from trisep.types import SignalSettings

CPU = torch.device("cpu")


def test_paths_are_shortened_as_far_as_they_stay_apart() -> None:
    assert short_names(["runs/late/model", "default"]) == ["late", "default"]
    assert short_names(["a/late/model", "b/late/model"]) == ["a/late", "b/late"]
    assert short_names(["a/late/model", "a/late"]) == ["a/late/model", "a/late"]
    assert short_names(["model"]) == ["model"]


def test_the_middle_of_each_clip_is_heard_at_the_level_of_mixtures(small_store: Path, tmp_path: Path) -> None:
    store = ClipStore(small_store)
    folder = save_checkpoint(tmp_path / "vast", vast, vast.Config.tiny(), SignalSettings(clip_samples=16384 - 1))
    (model,) = load_models([str(folder)], CPU).values()
    vectors = pooled_bottlenecks(model, store, np.array([1, 3]), device=CPU)
    start = int(0.5 * (store.num_samples(3) - 16383 + 1))
    sound = store.read_waveform(3, start, 16383)
    sound = sound * np.float32(0.1 / np.sqrt(np.mean(sound**2)))
    heard = log_magnitude(to_log_frequency(stft(torch.from_numpy(sound)[None], model.signal).abs()))
    # VAST's own audio embedding is the same vector.
    expected = model.model.embed_audio(heard)  # type: ignore[operator]
    assert vectors.shape == (2, 8)
    np.testing.assert_allclose(vectors[1], expected[0].numpy(), atol=1e-4)


def test_the_bottleneck_is_taken_before_the_projection_to_a_teacher(small_store: Path, tmp_path: Path) -> None:
    config = hfra.Config(embedding_dim=384, condition_channels=4, unet=hfra.Config.tiny().unet, teacher_dim=5)
    model = load_model(save_checkpoint(tmp_path / "hfra", hfra, config))
    assert pooled_bottlenecks(model, ClipStore(small_store), np.array([0]), device=CPU).shape == (
        1,
        config.unet.widths[-1],
    )


def test_a_model_of_waveforms_is_refused(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "wave", wave_u_net, wave_u_net.Config.tiny())
    with pytest.raises(
        CheckpointError, match="wave_u_net reads waveforms and has no bottleneck.*model of spectrograms"
    ):
        load_models([str(folder)], CPU)


def test_another_rate_is_refused(small_store: Path, tmp_path: Path) -> None:
    model = load_model(
        save_checkpoint(tmp_path / "slow", vast, vast.Config.tiny(), SignalSettings(sample_rate_hz=11025))
    )
    with pytest.raises(StoreError, match="at 16000 Hz, .* reads 11025: prepare it again with --sample-rate-hz 11025"):
        pooled_bottlenecks(model, ClipStore(small_store), np.array([0]), device=CPU)


def test_a_teacher_hears_the_same_stretch_as_it_was_recorded(small_store: Path) -> None:
    store = ClipStore(small_store)
    vectors = teacher_embeddings(Loudness(4), store, np.array([2]), num_samples=8000)
    middle = store.read_waveform(2, int(0.5 * (store.num_samples(2) - 8000 + 1)), 8000)
    np.testing.assert_allclose(vectors, [[np.sqrt(np.mean(middle**2)), 16000, 0, 0]], rtol=1e-4)


def test_a_limit_draws_clips_at_random(small_store: Path) -> None:
    store = ClipStore(small_store)
    assert choose_clips(store, None, 0).tolist() == list(range(len(store)))
    few = choose_clips(store, 3, 1)
    assert len(few) == 3 and few.tolist() == sorted(set(few.tolist())) == choose_clips(store, 3, 1).tolist()
    assert any(choose_clips(store, 3, seed).tolist() != few.tolist() for seed in range(5))
