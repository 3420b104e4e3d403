"""EfficientAT mn04 (Schmid, Koutini & Widmer 2023), frozen: sound → 384-d embedding and logits of 527 classes.

The network is a MobileNetV3-Large (Howard et al. 2019) of width 0.4 over a log-mel spectrogram, trained by distillation
on AudioSet and its 527 classes. It is an audio teacher and a tagger; it shares no space with text or pictures. The
weights are not part of this package: the user names their file. This file does not know the names of the classes.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trisep.encoders.audio_tower import mel_triangles
from trisep.encoders.resample import resample
from trisep.encoders.tensor_archive import read_tensors
from trisep.errors import CheckpointError
from trisep.media.files import sha256_of

PLACE_VARIABLE = "TRISEP_EFFICIENTAT"
"""Environment variable that names the file of weights."""
SAMPLE_RATE_HZ = 32000
NUM_CLASSES = 527

_EMBEDDING_DIM = 384
_PRE_EMPHASIS = 0.97
_FFT_SAMPLES = 1024
_WINDOW_SAMPLES = 800
_HOP_SAMPLES = 320
_NUM_MEL_BANDS = 128
_TOP_HZ = 15000.0
_MIN_SAMPLES = _FFT_SAMPLES // 2 + 2
"""Least number of samples: the transform reflects half a window at each border, and pre-emphasis takes one sample away.
"""

_WIDTH = 0.4
_BLOCKS = (
    (3, 16, 16, 1, False, False),
    (3, 64, 24, 2, False, False),
    (3, 72, 24, 1, False, False),
    (5, 72, 40, 2, True, False),
    (5, 120, 40, 1, True, False),
    (5, 120, 40, 1, True, False),
    (3, 240, 80, 2, False, True),
    (3, 200, 80, 1, False, True),
    (3, 184, 80, 1, False, True),
    (3, 184, 80, 1, False, True),
    (3, 480, 112, 1, True, True),
    (3, 672, 112, 1, True, True),
    (5, 672, 160, 2, True, True),
    (5, 960, 160, 1, True, True),
    (5, 960, 160, 1, True, True),
)
"""Rows of MobileNetV3-Large's Table 1: kernel, hidden and output channels at width 1, stride, squeeze-excitation,
hard swish (else ReLU)."""

_PUBLISHED = ((".fc", ".conc_se_layers.0.fc"), ("hidden.", "classifier.2."), ("classes.", "classifier.5."))
"""Parts of our tensor names, and the published parts where they differ."""


def round_to_eight(channels: float) -> int:
    """Round to the nearest multiple of 8, at least 8.

    The next higher multiple is taken where rounding would lose more than a tenth, as in MobileNet.
    """
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


def mel_filterbank() -> Float[Tensor, "128 513"]:
    """Compute the weights of the FFT bins in 128 mel bands from 0 to 15 kHz.

    The lowest bands are narrower than a bin, and those that hold none stay silent, as in the original.
    """
    return mel_triangles(_NUM_MEL_BANDS, window_samples=_FFT_SAMPLES, sample_rate_hz=SAMPLE_RATE_HZ, top_hz=_TOP_HZ)


def log_mel(waveform: Float[Tensor, "B S"]) -> Float[Tensor, "B 1 128 T"]:
    """Compute the log-mel spectrogram that the network reads, of a sound at 32 kHz.

    It is (ln(power in mel bands + 1e-5) + 4.5) / 5, with T = 1 + ⌊(S − 1) / 320⌋ frames. Pre-emphasis x[t] − 0.97 x[t −
    1] comes first, then an STFT of 1024 with a symmetric Hann window of 800 samples. Raises ValueError for a sound
    shorter than 514 samples.
    """
    num_samples = waveform.shape[-1]
    if num_samples < _MIN_SAMPLES:
        raise ValueError(f"waveform: expected at least {_MIN_SAMPLES} samples, got {num_samples}")
    window = torch.hann_window(_WINDOW_SAMPLES, periodic=False, device=waveform.device)
    emphasised = waveform[:, 1:] - _PRE_EMPHASIS * waveform[:, :-1]
    spectrum = torch.stft(
        emphasised, _FFT_SAMPLES, _HOP_SAMPLES, _WINDOW_SAMPLES, window, center=True, return_complex=True
    )
    power = spectrum.real.square() + spectrum.imag.square()
    bands: Tensor = (mel_filterbank().to(waveform.device) @ power + 1e-5).log()
    return ((bands + 4.5) / 5)[:, None]


class SqueezeExcitation(nn.Module):
    """Scale each channel by a gate computed from the mean of all channels (Hu et al. 2018)."""

    def __init__(self, channels: int) -> None:
        """Build two linear layers, the inner one a quarter as wide."""
        super().__init__()
        squeezed = round_to_eight(channels // 4)
        self.fc1 = nn.Linear(channels, squeezed)
        self.fc2 = nn.Linear(squeezed, channels)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Multiply the channels by their gates."""
        gate: Tensor = self.fc2(self.fc1(x.mean(dim=(2, 3))).relu()).sigmoid()
        return x * gate[:, :, None, None]


def _convolution(
    in_channels: int, out_channels: int, activation: type[nn.Module], kernel: int = 1, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Build convolution, batch norm and activation."""
    convolution = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels, eps=1e-3), activation())


class InvertedResidual(nn.Module):
    """Expand (where that widens), depth-wise convolution, gate, project; a shortcut where shapes allow."""

    def __init__(
        self, in_channels: int, kernel: int, hidden: int, out_channels: int, stride: int, gated: bool, hard_swish: bool
    ) -> None:
        """Build one row of the table of blocks, at the width of this network."""
        super().__init__()
        activation = nn.Hardswish if hard_swish else nn.ReLU
        layers: list[nn.Module] = [_convolution(in_channels, hidden, activation)] if hidden != in_channels else []
        layers.append(_convolution(hidden, hidden, activation, kernel, stride, groups=hidden))
        if gated:
            layers.append(SqueezeExcitation(hidden))
        layers.append(_convolution(hidden, out_channels, nn.Identity))
        self.block = nn.Sequential(*layers)
        self.shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C2 H2 W2"]:
        """Apply the block."""
        result: Tensor = self.block(x)
        return x + result if self.shortcut else result


class EfficientATNetwork(nn.Module):
    """Log-mel spectrogram [B, 1, 128, T] → embedding [B, 384], the mean over bands and frames.

    `classify` turns the embedding into the 527 logits.
    """

    def __init__(self) -> None:
        """Build the layers; `features` are named as in the published file."""
        super().__init__()
        channels = round_to_eight(16 * _WIDTH)
        layers: list[nn.Module] = [_convolution(1, channels, nn.Hardswish, 3, 2)]
        for kernel, full_hidden, full_out, stride, gated, hard_swish in _BLOCKS:
            hidden, out_channels = round_to_eight(full_hidden * _WIDTH), round_to_eight(full_out * _WIDTH)
            layers.append(InvertedResidual(channels, kernel, hidden, out_channels, stride, gated, hard_swish))
            channels = out_channels
        layers.append(_convolution(channels, _EMBEDDING_DIM, nn.Hardswish))
        self.features = nn.Sequential(*layers)
        self.hidden = nn.Linear(_EMBEDDING_DIM, 512)
        self.classes = nn.Linear(512, NUM_CLASSES)

    def forward(self, picture: Float[Tensor, "B 1 128 T"]) -> Float[Tensor, "B 384"]:
        """Embed."""
        embedding: Tensor = self.features(picture).mean(dim=(2, 3))
        return embedding

    def classify(self, embedding: Float[Tensor, "B 384"]) -> Float[Tensor, "B 527"]:
        """Apply the linear hidden layer, hard swish, and one logit per class; dropout acts only in training."""
        logits: Tensor = self.classes(nn.functional.hardswish(self.hidden(embedding)))
        return logits


class EfficientAT:
    """The frozen teacher. Embeddings are raw, not of unit length.

    The fingerprint is the beginning of the file's SHA-256.
    """

    name = "efficientat-mn04"
    dim = _EMBEDDING_DIM
    sample_rate_hz = SAMPLE_RATE_HZ

    def __init__(self, weights: Path, *, sha256: str | None = None, device: torch.device | str = "cpu") -> None:
        """Load a file of weights.

        Raises CheckpointError when it is missing, damaged, not EfficientAT mn04, or of another hash than `sha256`.

        Args:
            weights: safetensors with the published tensor names (`features.0.0.weight`, …), or the
                published PyTorch file itself.
            sha256: the 64 hexadecimal digits that the file must have; None accepts any file that fits.
            device: where the network computes; results come back to the device of the waveform.
        """
        if not weights.is_file():
            raise CheckpointError(
                f"{weights}: no such file; give the weights of EfficientAT mn04, for example as a safetensors file"
            )
        digest = sha256_of(weights)
        if sha256 is not None and digest != sha256.lower():
            raise CheckpointError(
                f"{weights}: expected sha256 {sha256[:12]}…, got {digest[:12]}…; get the file with that hash"
            )
        self.weights = weights
        self.fingerprint = digest[:16]
        self._device = torch.device(device)
        self._network = _load_network(weights).to(self._device)

    @torch.no_grad()
    def encode_audio(
        self, waveform: Float[Tensor, "B S"], sample_rate_hz: int = SAMPLE_RATE_HZ
    ) -> Float[Tensor, "B 384"]:
        """Embed sounds, full scale ±1; the computation is float32 under autocast too.

        Raises ValueError for sounds shorter than 514 samples at 32 kHz.
        """
        with torch.autocast(self._device.type, enabled=False):
            return self._embed(resample(waveform, sample_rate_hz, SAMPLE_RATE_HZ)).to(waveform.device)

    @torch.no_grad()
    def logits(self, waveform: Float[Tensor, "B S"]) -> Float[Tensor, "B 527"]:
        """Compute the logits of AudioSet's classes, in its order, for sounds at 32 kHz.

        Their sigmoids are independent probabilities.
        """
        with torch.autocast(self._device.type, enabled=False):
            return self._network.classify(self._embed(waveform)).to(waveform.device)

    def _embed(self, waveform: Float[Tensor, "B S"]) -> Float[Tensor, "B 384"]:
        """Embed sounds on the network's device."""
        if not len(waveform):
            return torch.zeros(0, _EMBEDDING_DIM, device=self._device)
        embedding: Tensor = self._network(log_mel(waveform.to(self._device, torch.float32)))
        return embedding


def find_efficientat() -> Path:
    """Return the file that `TRISEP_EFFICIENTAT` names; CheckpointError when it names none.

    A file is accepted by the names and shapes of its tensors.
    """
    place = os.environ.get(PLACE_VARIABLE)
    if not place:
        raise CheckpointError(
            f"teacher '{EfficientAT.name}': its weights are not part of this package; set {PLACE_VARIABLE} to the "
            "published mn04_as_mAP_432.pt (MIT; releases of fschmid56/EfficientAT on GitHub), or to the same tensors "
            "as safetensors"
        )
    return Path(place).expanduser()


def _load_network(file: Path) -> EfficientATNetwork:
    """Load the network of a file, in evaluation mode and frozen; CheckpointError when the file holds anything else."""
    with torch.device("meta"):
        network = EfficientATNetwork()
    counters = {name: torch.tensor(0) for name in network.state_dict() if name.endswith("num_batches_tracked")}
    expected = {_published_name(name): value for name, value in network.state_dict().items() if name not in counters}
    found = {name: value for name, value in read_tensors(file).items() if not name.endswith("num_batches_tracked")}
    _check_tensors(file, expected, found)
    own = {name: found[_published_name(name)].float() for name in network.state_dict() if name not in counters}
    network.load_state_dict(own | counters, assign=True)
    network.eval().requires_grad_(False)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _published_name(name: str) -> str:
    """Return the published name of one of our tensors."""
    for own, published in _PUBLISHED:
        name = name.replace(own, published)
    return name


def _check_tensors(file: Path, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError unless names and shapes are those of the network."""
    problems = [f"lacks {name}" for name in expected if name not in found]
    problems += [f"holds {name}, which is unknown" for name in found if name not in expected]
    problems += [
        f"{name} should have shape {tuple(value.shape)}, not {tuple(found[name].shape)}"
        for name, value in expected.items()
        if name in found and found[name].shape != value.shape
    ]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise CheckpointError(
            f"{file}: is not EfficientAT mn04: {problems[0]}{more}; give the weights of width 0.4 for AudioSet"
        )
