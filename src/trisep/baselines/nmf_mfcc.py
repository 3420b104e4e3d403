"""NMF-MFCC: components of the spectrogram, clustered by the shape of their spectra; blind and untrained.

    |STFT| ≈ W H (KL)  →  each column of W: mel bands → logarithm → DCT  →  k-means into N groups  →  ratio masks

Source: Spiertz and Gnann, "Source-filter based clustering for monaural blind source separation", DAFx 2009, which the
papers' tables quote. It assumes that each source is one filter (the group), through which many excitations (the
components) pass. Details that the papers of this project do not print (they call it off-the-shelf) are taken from
public implementations, marked †. The heavy computations run in torch, whose number of threads the caller sets. This
file knows no network.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.cluster.vq import ClusterError, kmeans2
from scipy.fft import dct
from torch import Tensor

from trisep.errors import ConfigError
from trisep.spectrogram.stft import istft, stft
from trisep.types import SignalSettings

KIND = "classical"
NEEDS = ("num_sources", "generator")
ORDERED = False

_TINY = 1e-12
_NUM_LLOYD_STEPS = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Sizes of the factorization and of the features."""

    num_components: int = 25
    """Components I of the factorization†."""
    num_iterations: int = 200
    """Multiplicative updates of both factors†."""
    num_mel_bands: int = 20
    """Triangular bands from 0 Hz to Nyquist†."""
    num_coefficients: int = 9
    """Cepstral coefficients that are kept, the zeroth included†."""
    dynamic_range: float = 1e4
    """The strongest band is brought to this value before log(1 + x): 80 dB, below which bands hardly count†."""
    num_starts: int = 10
    """Starts of k-means, of which the tightest clustering is kept."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if (
            min(self.num_components, self.num_iterations, self.num_mel_bands, self.num_coefficients, self.num_starts)
            < 1
        ):
            raise ConfigError(
                "num_components, num_iterations, num_mel_bands, num_coefficients and num_starts must be at least 1"
            )
        if self.num_coefficients > self.num_mel_bands:
            raise ConfigError(
                f"num_coefficients: expected at most num_mel_bands, {self.num_mel_bands}, got {self.num_coefficients}"
            )


_DEFAULT = Config()


def estimate(
    mixture: Float[np.ndarray, "S"],
    *,
    num_sources: int,
    generator: np.random.Generator,
    signal: SignalSettings,
    config: Config = _DEFAULT,
) -> Float[np.ndarray, "N S"]:
    """Compute `num_sources` estimates in no meaningful order, which sum to the mixture; digital silence gives silence.

    *Our deviation:* groups become ratio masks on the spectrogram of the mixture, as everywhere in this project, not
    spectrograms of their own.

    Args:
        mixture: the mixture, mono, at `signal.sample_rate_hz`.
        num_sources: N, at most `config.num_components`.
        generator: starts the factors and k-means.
        signal: the STFT.
        config: sizes.

    Raises:
        ConfigError: more sources than components.
    """
    if not 1 <= num_sources <= config.num_components:
        raise ConfigError(f"num_sources: expected 1 to {config.num_components} (num_components), got {num_sources}")
    spectrum = stft(torch.from_numpy(mixture), signal)
    magnitude = spectrum.abs().double()
    if not magnitude.any():
        return np.zeros((num_sources, len(mixture)), mixture.dtype)
    W, H = factorize(magnitude / magnitude.mean(), config.num_components, config.num_iterations, generator)
    groups = torch.from_numpy(group(cepstra(W.numpy(), signal, config), num_sources, config.num_starts, generator))
    parts = torch.stack([W[:, groups == index] @ H[groups == index] for index in range(num_sources)])
    masks = (parts + _TINY) / (parts.sum(dim=0) + num_sources * _TINY)
    return istft(masks.to(spectrum.real.dtype) * spectrum, signal, len(mixture)).numpy()


def factorize(
    V: Float[Tensor, "F T"], num_components: int, num_iterations: int, generator: np.random.Generator
) -> tuple[Float[Tensor, "F I"], Float[Tensor, "I T"]]:
    """Compute non-negative factors with `W H ≈ V` from a uniform random start; columns of W sum to one.

    V is non-negative and not all zero.
    """
    W = torch.from_numpy(generator.random((V.shape[0], num_components))).to(V)
    H = torch.from_numpy(generator.random((num_components, V.shape[1]))).to(V)
    H = H * V.sum() / (W @ H).sum()
    for _ in range(num_iterations):
        W, H = update(V, W, H)
    scale = W.sum(dim=0) + _TINY
    return W / scale, H * scale.unsqueeze(1)


def update(
    V: Float[Tensor, "F T"], W: Float[Tensor, "F I"], H: Float[Tensor, "I T"]
) -> tuple[Float[Tensor, "F I"], Float[Tensor, "I T"]]:
    """Compute one multiplicative update of W, then of H.

    Neither ever raises the KL divergence (Lee and Seung, NIPS 2000, Theorem 2).
    """
    W = W * ((V / (W @ H + _TINY)) @ H.T) / (H.sum(dim=1) + _TINY)
    H = H * (W.T @ (V / (W @ H + _TINY))) / (W.sum(dim=0).unsqueeze(1) + _TINY)
    return W, H


def cepstra(W: Float[np.ndarray, "F I"], signal: SignalSettings, config: Config = _DEFAULT) -> Float[np.ndarray, "I M"]:
    """Compute the mel-frequency cepstral coefficients of each column of W: its spectrum apart from pitch."""
    bands = mel_bands(config.num_mel_bands, signal) @ W
    loudness = np.log10(1 + config.dynamic_range * bands / (bands.max() + _TINY))
    return np.asarray(dct(loudness, axis=0, norm="ortho")[: config.num_coefficients].T)


def mel_bands(num_bands: int, signal: SignalSettings) -> Float[np.ndarray, "M F"]:
    """Build the mel filterbank over the bins of the STFT.

    The triangles are equally wide on the mel scale, `2595 log₁₀(1 + f / 700 Hz)`, each of unit area in Hz.
    """
    nyquist_hz = signal.sample_rate_hz / 2
    edges_mel = np.linspace(0, 2595 * np.log10(1 + nyquist_hz / 700), num_bands + 2)
    edges_hz = 700 * (10 ** (edges_mel / 2595) - 1)
    low, centre, high = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    bins_hz = np.linspace(0, nyquist_hz, signal.num_bins)
    triangles = np.minimum((bins_hz - low) / (centre - low), (high - bins_hz) / (high - centre)).clip(min=0)
    return np.asarray(triangles * 2 / (high - low))


def group(
    features: Float[np.ndarray, "I M"], num_groups: int, num_starts: int, generator: np.random.Generator
) -> Int[np.ndarray, "I"]:
    """Assign each row to a group by k-means, of least inertia over `num_starts` starts.

    The starts are k-means++ (Arthur and Vassilvitskii 2007). A start in which a group runs empty is dropped; if all do
    (fewer different rows than groups), rows go to the nearest first centre.
    """
    best, least = np.zeros(len(features), np.int64), np.inf
    for _ in range(num_starts):
        centres = _spread_centres(features, num_groups, generator)
        try:
            centres, labels = kmeans2(features, centres, iter=_NUM_LLOYD_STEPS, minit="matrix", missing="raise")
        except ClusterError:
            labels = np.square(features[:, None] - centres).sum(axis=-1).argmin(axis=1)
        inertia = float(np.square(features - centres[labels]).sum())
        if inertia < least:
            best, least = labels.astype(np.int64), inertia
    return best


def _spread_centres(
    features: Float[np.ndarray, "I M"], num_groups: int, generator: np.random.Generator
) -> Float[np.ndarray, "N M"]:
    """Choose the first centres by k-means++.

    Each further centre is a row drawn with probability proportional to its squared distance from the
    nearest one so far.
    """
    rows = [int(generator.integers(len(features)))]
    while len(rows) < num_groups:
        distance = np.square(features[:, None] - features[rows]).sum(axis=-1).min(axis=1)
        total = distance.sum()
        rows.append(int(generator.choice(len(features), p=distance / total if total > 0 else None)))
    return features[rows]
