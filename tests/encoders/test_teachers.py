"""Audio teachers by name: a tiny CLAP with drawn weights, saved and loaded by transformers, and the file of
EfficientAT.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soxr
import torch

from trisep.encoders import AudioTeacher, load_teacher
from trisep.encoders.audio_tower import SoundClasses
from trisep.encoders.resample import resample
from trisep.errors import CheckpointError


def clap(folder: Path) -> AudioTeacher:
    """The teacher of a folder, whatever `TRISEP_CLAP` says."""
    from trisep.encoders.clap import Clap  # seconds of transformers, for slow tests only

    return Clap(str(folder))


@pytest.fixture(scope="module")
def tiny_clap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import ClapAudioConfig, ClapConfig, ClapFeatureExtractor, ClapModel, ClapTextConfig

    folder = tmp_path_factory.mktemp("clap")
    torch.manual_seed(0)
    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "vocab_size": 20,
    }
    audio = ClapAudioConfig(
        patch_embeds_hidden_size=8, hidden_size=64, depths=[1, 1, 1, 1], num_attention_heads=[1, 1, 2, 2], num_classes=3
    )
    ClapModel(
        ClapConfig(text_config=ClapTextConfig(**sizes).to_dict(), audio_config=audio.to_dict(), projection_dim=12)
    ).save_pretrained(folder)
    ClapFeatureExtractor(truncation="rand_trunc", padding="repeatpad").save_pretrained(folder)
    return folder


@pytest.fixture
def fresh() -> Iterator[None]:
    """Teachers are kept for the whole process; each test here loads its own."""
    load_teacher.cache_clear()
    yield
    load_teacher.cache_clear()


def noise(num_sounds: int, num_samples: int) -> torch.Tensor:
    return 0.1 * torch.randn(num_sounds, num_samples, generator=torch.Generator().manual_seed(0))


@pytest.mark.slow
def test_a_saved_clap_loads_offline_and_embeds_as_its_model_does(
    tiny_clap: Path, fresh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import ClapFeatureExtractor, ClapModel

    monkeypatch.setenv("TRISEP_CLAP", str(tiny_clap))
    teacher = load_teacher("clap")
    assert isinstance(teacher, AudioTeacher)
    assert (teacher.name, teacher.dim, teacher.sample_rate_hz, len(teacher.fingerprint)) == ("clap", 12, 48000, 16)
    sounds = noise(2, 16000)
    embedded = teacher.encode_audio(sounds, 16000)
    heard = [soxr.resample(sound.numpy(), 16000, 48000) for sound in sounds]
    features = ClapFeatureExtractor.from_pretrained(tiny_clap)(heard, sampling_rate=48000, return_tensors="pt")
    model = ClapModel.from_pretrained(tiny_clap).eval()
    with torch.no_grad():
        expected = model.audio_projection(model.audio_model(**features).pooler_output)
    torch.testing.assert_close(embedded, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_an_embedding_is_a_function_of_the_sound(tiny_clap: Path) -> None:
    teacher = clap(tiny_clap)
    longer = noise(2, 11 * 48000)
    np.random.seed(1)
    first = teacher.encode_audio(longer, 48000)
    torch.testing.assert_close(teacher.encode_audio(longer[:1], 48000), first[:1], rtol=1e-4, atol=1e-5)
    middle = longer[:, 24000:-24000]
    torch.testing.assert_close(teacher.encode_audio(middle, 48000), first)
    assert clap(tiny_clap).fingerprint == teacher.fingerprint
    assert teacher.encode_audio(noise(0, 100), 48000).shape == (0, 12)


@pytest.mark.slow
def test_what_is_no_clap_is_refused(
    tmp_path: Path, tiny_clap: Path, fresh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRISEP_CLAP", str(tmp_path))
    with pytest.raises(
        CheckpointError, match="teacher 'clap': nothing to load at .*; run `hf download laion/clap-htsat-unfused`"
    ):
        load_teacher("clap")
    with pytest.raises(
        CheckpointError, match="unknown audio teacher 'clop': expected one of lite, efficientat-mn04, clap"
    ):
        load_teacher("clop")
    monkeypatch.delenv("TRISEP_EFFICIENTAT", raising=False)
    with pytest.raises(CheckpointError, match="its weights are not part of this package; set TRISEP_EFFICIENTAT"):
        load_teacher("efficientat-mn04")
    monkeypatch.setenv("TRISEP_EFFICIENTAT", str(tmp_path / "none.pt"))
    with pytest.raises(CheckpointError, match=r"none\.pt: no such file"):
        load_teacher("efficientat-mn04")


def test_the_audio_tower_of_lite_is_a_teacher_that_needs_no_file(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("TRISEP_EFFICIENTAT", "TRISEP_CLAP"):
        monkeypatch.delenv(variable, raising=False)
    teacher, sounds = load_teacher("lite"), noise(2, 16000)
    assert isinstance(teacher, AudioTeacher) and isinstance(teacher, SoundClasses)
    assert (teacher.name, teacher.dim, teacher.sample_rate_hz) == ("lite", 256, 16000)
    embedded = teacher.encode_audio(sounds, 16000)
    assert embedded.shape == (2, 256)
    torch.testing.assert_close(teacher.classify(embedded), teacher.logits(sounds, 16000))
    torch.testing.assert_close(teacher.encode_audio(sounds[1:], 16000)[0], embedded[1])


def test_resampling_is_soxrs() -> None:
    sounds = noise(2, 1000)
    assert resample(sounds, 16000, 16000) is sounds
    faster = resample(sounds, 16000, 32000)
    np.testing.assert_allclose(faster[1].numpy(), soxr.resample(sounds[1].numpy(), 16000, 32000), atol=1e-6)
