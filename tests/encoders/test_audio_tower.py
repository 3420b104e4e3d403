"""The audio tower's network and spectrogram, against formulas and properties; its weights are not needed."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity, normalize

from trisep.encoders import HearingEncoder, audio_tower
from trisep.encoders.audio_tower import (
    FRAMES_PER_STEP,
    SIGNAL,
    AudioTowerNetwork,
    SoundClasses,
    log_mel,
    mel_triangles,
)
from trisep.encoders.lite import LiteEncoder
from trisep.spectrogram.stft import stft


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def network() -> AudioTowerNetwork:
    torch.manual_seed(0)
    return AudioTowerNetwork(7).eval()


@pytest.mark.parametrize(("num_samples", "num_steps"), [(1, 1), (300, 1), (4096, 1), (4352, 2), (49152, 12)])
def test_one_embedding_for_every_sixteen_frames(network, num_samples: int, num_steps: int) -> None:
    with torch.no_grad():
        embeddings = network(log_mel(noise(2, num_samples)))
    assert embeddings.shape == (2, num_steps, 256)
    assert torch.isfinite(network.classify(embeddings)).all()
    assert network.classify(embeddings).shape == (2, num_steps, 7)


def test_the_spectrogram_of_silence_and_of_a_tone() -> None:
    silence = log_mel(torch.zeros(1, 8192))
    assert silence.shape == (1, 64, 32)
    torch.testing.assert_close(silence, torch.full_like(silence, (math.log(1e-3) - 2) / 4))
    tone = torch.sin(2 * math.pi * 1000 / 16000 * torch.arange(16000.0))[None]
    mel = lambda hz: 1127 * math.log1p(hz / 700)  # noqa: E731
    expected_band = round(mel(1000) / (mel(8000) / 65)) - 1
    loudest = log_mel(tone)[0, :, 20:40].mean(dim=1)
    assert int(loudest.argmax()) == expected_band


@pytest.mark.parametrize("num_samples", [1, 999, 1000, 2048, 2560, 5003])
def test_the_spectrogram_is_that_of_one_transform_over_everything(num_samples: int, monkeypatch) -> None:
    monkeypatch.setattr(audio_tower, "_SPECTRA_SAMPLES", 1000)
    waveform = noise(2, num_samples)
    magnitude = stft(waveform, SIGNAL).abs()[..., : max(1, num_samples // 256)]
    bands = mel_triangles(64, window_samples=1024, sample_rate_hz=16000, top_hz=8000)
    expected = ((bands @ magnitude.square() + 1e-3).log() - 2) / 4
    torch.testing.assert_close(log_mel(waveform), expected, rtol=0, atol=1e-6)


def test_a_shift_by_whole_steps_shifts_the_embeddings(network) -> None:
    picture = torch.randn(1, 64, 40 * FRAMES_PER_STEP, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole, later = network(picture), network(picture[..., 4 * FRAMES_PER_STEP :])
    torch.testing.assert_close(whole[:, 14:-10], later[:, 10:-10], rtol=0, atol=1e-5)


def test_mel_bands_are_triangles_that_overlap_by_half() -> None:
    bands = mel_triangles(64, window_samples=1024, sample_rate_hz=16000, top_hz=8000).numpy()
    assert bands.shape == (64, 513)
    assert (bands.max(axis=1) > 0.3).all()
    peaks = bands.argmax(axis=1)
    assert (np.diff(peaks) > 0).all()
    np.testing.assert_allclose(bands.sum(axis=0)[peaks[0] : peaks[-1]], 1.0, atol=1e-6)


RATE = 16000


@pytest.fixture(scope="module")
def encoder() -> LiteEncoder:
    return LiteEncoder()


def sound(num_samples: int, seed: int = 0) -> torch.Tensor:
    return noise(1, num_samples, seed=seed)


def test_names_and_embeddings_belong_together(encoder) -> None:
    sounds = SoundClasses()
    assert len(sounds.names) == len(set(sounds.names)) == len(sounds.embeddings) > 527
    assert sounds.names[0] == "Speech"
    torch.testing.assert_close(sounds.embeddings.norm(dim=1), torch.ones(len(sounds.names)), rtol=0, atol=2e-3)
    words = encoder.encode_text(["a photo of Violin", "a photo of Rain", "a photo of a bassoon"])
    nearest = [sounds.names[index] for index in (words @ sounds.embeddings.T).argmax(dim=1)]
    assert nearest == ["Violin, fiddle", "Rain", "Bassoon"]


def test_one_vector_for_a_sound_and_one_for_every_second(encoder) -> None:
    assert isinstance(encoder, HearingEncoder)
    assert encoder.encode_audio(sound(2 * RATE), RATE).shape == (1, 384)
    for num_samples, num_seconds in ((100, 1), (RATE, 1), (RATE + 1, 2), (70 * RATE, 70)):
        vectors = encoder.encode_audio_seconds(sound(num_samples), RATE)
        assert vectors.shape == (1, num_seconds, 384)
        assert torch.isfinite(vectors).all()


def test_neither_level_nor_sampling_rate_matters(encoder) -> None:
    tone = torch.sin(2 * math.pi * 440 / 48000 * torch.arange(3 * 48000.0))[None]
    reference = encoder.encode_audio(tone[:, ::3], RATE)
    assert cosine_similarity(reference, encoder.encode_audio(0.01 * tone[:, ::3], RATE)).item() > 0.9999
    assert cosine_similarity(reference, encoder.encode_audio(tone, 48000)).item() > 0.98


def test_a_second_is_heard_on_its_own(encoder) -> None:
    """A click train in the third second changes what is heard there, and nothing two seconds away."""
    quiet = sound(6 * RATE)
    clicks = quiet.clone()
    clicks[:, 3 * RATE : 4 * RATE : 2000] = 0.9
    before, after = (encoder.sounds.logits_per_second(sound, RATE)[0] for sound in (quiet, clicks))
    change = (after - before).abs().mean(dim=1)
    assert change.argmax() == 3
    assert change[[0, 1, 5]].max() < 0.3 * change[3]


def test_silence_and_no_sound_at_all_are_heard_as_something_finite(encoder) -> None:
    for num_samples in (0, 1, 5000):
        assert torch.isfinite(normalize(encoder.encode_audio(torch.zeros(1, num_samples), RATE), dim=-1)).all()


def test_every_class_of_the_labels_is_heard() -> None:
    with (Path(__file__).parents[2] / "scripts" / "audio_tower_classes.csv").open(encoding="utf-8") as lines:
        classes = {row["class"] for row in csv.DictReader(lines)}
    names = SoundClasses().names
    assert classes <= set(names)
    assert set(names[527:]) == classes - set(names[:527])
