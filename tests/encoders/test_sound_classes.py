"""What `lite` hears: the shipped audio tower, its names, and sounds among words."""

import math

import pytest
import torch
from torch.nn.functional import cosine_similarity, normalize

from trisep.encoders import HearingEncoder
from trisep.encoders.lite import LiteEncoder
from trisep.encoders.sound_classes import SoundClasses

RATE = 16000


@pytest.fixture(scope="module")
def encoder() -> LiteEncoder:
    return LiteEncoder()


def noise(num_samples: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(1, num_samples, generator=torch.Generator().manual_seed(seed))


def test_names_and_embeddings_belong_together(encoder) -> None:
    sounds = SoundClasses()
    assert len(sounds.names) == len(set(sounds.names)) == len(sounds.embeddings) == 527
    assert sounds.names[0] == "Speech"
    torch.testing.assert_close(sounds.embeddings.norm(dim=1), torch.ones(527), rtol=0, atol=2e-3)
    words = encoder.encode_text(["a photo of Violin", "a photo of Rain"])
    nearest = [sounds.names[index] for index in (words @ sounds.embeddings.T).argmax(dim=1)]
    assert nearest == ["Violin, fiddle", "Rain"]


def test_one_vector_for_a_sound_and_one_for_every_second(encoder) -> None:
    assert isinstance(encoder, HearingEncoder)
    assert encoder.encode_audio(noise(2 * RATE), RATE).shape == (1, 384)
    for num_samples, num_seconds in ((100, 1), (RATE, 1), (RATE + 1, 2), (70 * RATE, 70)):
        vectors = encoder.encode_audio_seconds(noise(num_samples), RATE)
        assert vectors.shape == (1, num_seconds, 384)
        assert torch.isfinite(vectors).all()


def test_neither_level_nor_sampling_rate_matters(encoder) -> None:
    tone = torch.sin(2 * math.pi * 440 / 48000 * torch.arange(3 * 48000.0))[None]
    reference = encoder.encode_audio(tone[:, ::3], RATE)
    assert cosine_similarity(reference, encoder.encode_audio(0.01 * tone[:, ::3], RATE)).item() > 0.9999
    assert cosine_similarity(reference, encoder.encode_audio(tone, 48000)).item() > 0.98


def test_a_second_is_heard_on_its_own(encoder) -> None:
    """A click train in the third second changes what is heard there, and nothing two seconds away."""
    quiet = noise(6 * RATE)
    clicks = quiet.clone()
    clicks[:, 3 * RATE : 4 * RATE : 2000] = 0.9
    before, after = (encoder.sounds.logits_per_second(sound, RATE)[0] for sound in (quiet, clicks))
    change = (after - before).abs().mean(dim=1)
    assert change.argmax() == 3
    assert change[[0, 1, 5]].max() < 0.3 * change[3]


def test_silence_and_no_sound_at_all_are_heard_as_something_finite(encoder) -> None:
    for num_samples in (0, 1, 5000):
        assert torch.isfinite(normalize(encoder.encode_audio(torch.zeros(1, num_samples), RATE), dim=-1)).all()
