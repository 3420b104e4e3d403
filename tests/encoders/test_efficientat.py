"""EfficientAT mn04 against numbers of the original, and, without its weights, against formulas and properties."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from trisep.encoders.efficientat import EfficientAT, EfficientATNetwork, log_mel, mel_filterbank, round_to_eight
from trisep.errors import CheckpointError
from trisep.media.files import sha256_of

SHARED = Path(__file__).parents[3] / "shared"
REFERENCE = SHARED / "reference" / "efficientat_mn04_case.safetensors"
WEIGHTS = SHARED / "weights" / "efficientat_mn04.safetensors"


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def published_name(name: str) -> str:
    name = name.replace("hidden.", "classifier.2.").replace("classes.", "classifier.5.")
    return name.replace(".fc", ".conc_se_layers.0.fc")


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    """Random weights under the published names; the running statistics are those of a sound, so that no layer goes
    silent.
    """
    torch.manual_seed(0)
    network = EfficientATNetwork()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network(log_mel(noise(4, 16000)))
    return {published_name(name): value for name, value in network.state_dict().items()}


@pytest.fixture(scope="module")
def weights(tensors, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("efficientat") / "mn04.safetensors"
    save_file(tensors, path)
    return path


@pytest.fixture(scope="module")
def teacher(weights) -> EfficientAT:
    return EfficientAT(weights)


def test_equals_the_original() -> None:
    for path in (REFERENCE, WEIGHTS):
        if not path.is_file():
            pytest.skip(f"{path.name} is not here")
    case, teacher = load_file(REFERENCE), EfficientAT(WEIGHTS)
    waveform = case["waveform_32k"][None]
    torch.testing.assert_close(log_mel(waveform), case["log_mel"], rtol=0, atol=2e-5)
    torch.testing.assert_close(teacher.encode_audio(waveform)[0], case["embedding"], rtol=0, atol=1e-4)
    torch.testing.assert_close(teacher.logits(waveform)[0], case["logits"], rtol=0, atol=1e-3)


def test_the_published_sizes(tensors) -> None:
    assert sum(parameter.numel() for parameter in EfficientATNetwork().parameters()) == 983_599
    shapes = {name: tuple(value.shape) for name, value in tensors.items()}
    assert shapes["features.2.block.0.0.weight"] == (24, 8, 1, 1)
    assert shapes["features.12.block.2.conc_se_layers.0.fc1.weight"] == (72, 272)
    assert shapes["features.15.block.1.0.weight"] == (384, 1, 5, 5)
    assert shapes["classifier.2.weight"] == (512, 384)
    assert shapes["classifier.5.bias"] == (527,)


@pytest.mark.parametrize(("channels", "expected"), [(6.4, 8), (9.6, 16), (16, 16), (44.8, 48), (68, 72), (75.9, 72)])
def test_channels_come_in_eights(channels: float, expected: int) -> None:
    assert round_to_eight(channels) == expected


def test_mel_bands_are_triangles_between_their_neighbours_centres() -> None:
    def hertz(mel: float) -> float:
        return 700 * (math.exp(mel / 1127) - 1)

    top = 1127 * math.log(1 + 15000 / 700)
    edges_hz = [hertz(top * index / 129) for index in range(130)]
    bins_hz = np.arange(513) * 31.25
    for band, row in enumerate(mel_filterbank().numpy()):
        left, centre, right = edges_hz[band : band + 3]
        inside = (bins_hz > left) & (bins_hz < right)
        assert row[~inside].max() < 1e-6  # rounding at 15 kHz, which is a bin and an edge
        for frequency, weight in zip(bins_hz[inside], row[inside], strict=True):
            near, far = (left, centre) if frequency <= centre else (right, centre)
            expected = math.log((700 + frequency) / (700 + near)) / math.log((700 + far) / (700 + near))
            assert weight == pytest.approx(expected, abs=1e-6)


def test_log_mel_of_one_frame_by_hand() -> None:
    waveform = noise(1, 6000)
    samples = waveform[0].double().numpy()
    emphasised = samples[1:] - 0.97 * samples[:-1]
    frame = emphasised[10 * 320 - 400 : 10 * 320 + 400] * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(800) / 799))
    power = np.abs(np.fft.rfft(frame, 1024)) ** 2
    expected = (np.log(mel_filterbank().double().numpy() @ power + 1e-5) + 4.5) / 5
    np.testing.assert_allclose(log_mel(waveform)[0, 0, :, 10].numpy(), expected, atol=1e-5)


def test_silence_lies_on_the_floor() -> None:
    assert log_mel(torch.zeros(1, 640)).unique().item() == pytest.approx((math.log(1e-5) + 4.5) / 5)


@pytest.mark.parametrize(("num_samples", "num_frames"), [(514, 2), (32000, 100), (32001, 101), (128000, 400)])
def test_number_of_frames(num_samples: int, num_frames: int) -> None:
    assert log_mel(torch.zeros(1, num_samples)).shape == (1, 1, 128, num_frames)


@pytest.mark.parametrize("batch", [0, 1, 3])
@pytest.mark.parametrize("num_samples", [514, 20001])
def test_shapes(teacher, batch: int, num_samples: int) -> None:
    waveform = noise(batch, num_samples)
    assert teacher.encode_audio(waveform).shape == (batch, teacher.dim) == (batch, 384)
    assert teacher.logits(waveform).shape == (batch, 527)
    assert (teacher.name, teacher.sample_rate_hz) == ("efficientat-mn04", 32000)


def test_each_sound_is_embedded_alone(teacher) -> None:
    waveform = torch.cat([noise(1, 16000), torch.zeros(1, 16000), 5 * noise(1, 16000, seed=1).cumsum(dim=1)])
    embeddings, logits = teacher.encode_audio(waveform), teacher.logits(waveform)
    assert torch.cdist(embeddings, embeddings).fill_diagonal_(1).min() > 0.1
    for index in range(3):
        torch.testing.assert_close(
            teacher.encode_audio(waveform[index : index + 1]), embeddings[index : index + 1], rtol=1e-4, atol=3e-4
        )
        torch.testing.assert_close(
            teacher.logits(waveform[index : index + 1]), logits[index : index + 1], rtol=1e-4, atol=3e-4
        )


def test_it_is_frozen_and_in_full_precision_whatever_surrounds_it(teacher) -> None:
    waveform = noise(1, 16000)
    alone = teacher.encode_audio(waveform)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        surrounded = teacher.encode_audio(waveform.requires_grad_())
    assert surrounded.dtype == torch.float32 and not surrounded.requires_grad
    assert torch.equal(surrounded, alone)


def test_a_sound_shorter_than_the_window_is_refused(teacher) -> None:
    with pytest.raises(ValueError, match="waveform: expected at least 514 samples, got 513"):
        teacher.encode_audio(torch.zeros(1, 513))


def test_the_file_is_known_by_its_hash(teacher, weights) -> None:
    digest = sha256_of(weights)
    assert teacher.fingerprint == digest[:16]
    assert EfficientAT(weights, sha256=digest.upper()).fingerprint == digest[:16]
    with pytest.raises(CheckpointError, match=r"mn04\.safetensors: expected sha256 000000000000…, got"):
        EfficientAT(weights, sha256="0" * 64)


def test_half_precision_and_the_authors_format_load_too(teacher, tensors, tmp_path) -> None:
    half = {name: value.half() for name, value in tensors.items() if not name.endswith("num_batches_tracked")}
    torch.save(half, tmp_path / "mn04.pt")
    waveform = noise(1, 16000)
    embedding = EfficientAT(tmp_path / "mn04.pt").encode_audio(waveform)
    assert embedding.dtype == torch.float32
    torch.testing.assert_close(embedding, teacher.encode_audio(waveform), rtol=0.02, atol=0.02)


def test_a_missing_or_damaged_file(weights, tmp_path) -> None:
    with pytest.raises(CheckpointError, match="absent.safetensors: no such file; give the weights of EfficientAT mn04"):
        EfficientAT(tmp_path / "absent.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="cut.safetensors: the file is damaged"):
        EfficientAT(tmp_path / "cut.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classifier.5.weight": None}, "lacks classifier.5.weight;"),
        ({"extra": torch.zeros(1)}, "holds extra, which is unknown;"),
        (
            {"classifier.5.weight": torch.zeros(50, 512), "classifier.5.bias": torch.zeros(50)},
            r"classifier.5.weight should have shape \(527, 512\), not \(50, 512\) \(and 1",
        ),
    ],
)
def test_a_foreign_file(tensors, tmp_path, change, message) -> None:
    foreign = {name: value for name, value in (tensors | change).items() if value is not None}
    save_file(foreign, tmp_path / "foreign.safetensors")
    with pytest.raises(CheckpointError, match=f"foreign.safetensors: is not EfficientAT mn04: .*{message}") as caught:
        EfficientAT(tmp_path / "foreign.safetensors")
    assert "\n" not in str(caught.value)
