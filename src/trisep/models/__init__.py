"""The learned systems of the papers, one file each, found by file name, and the contract that all of them keep.

A model file defines `Config`, a frozen dataclass with `tiny()` (seconds on a CPU) and `build()`, which returns the
network. The network's `forward(log_magnitude [B, 1, 256, T], query) → MaskOutput` knows no frequency warping, phase,
target, loss or data. A network of the domain `waveform` has `forward(mixture [B, S], query) → [B, Q, S]` in its place.
Its `contract` declares its abilities, so no caller has to test for them.
"""

import importlib
import pkgutil
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, Protocol

from jaxtyping import Float
from torch import Tensor, nn

from trisep.errors import ConfigError
from trisep.networks.audio_unet import AudioUNet, UNetConfig
from trisep.types import MaskOutput, QueryEmbedding

Reads = Literal["vectors", "regions", "frames", "cuts", "boxes", "labels", "nothing"]
Domain = Literal["spectrogram", "waveform"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Contract:
    """The abilities of a model."""

    time_multiple: int = 1
    """`forward` takes spectrograms whose number of frames is a multiple of this."""
    domain: Domain = "spectrogram"
    """Whether it is a `Model`, from log-magnitudes to masks, or a `WaveformModel`, from samples to samples."""
    context_samples: int = 0
    """Number of samples that a waveform model reads on either side of those that it estimates."""
    is_shift_equivariant: bool = True
    """Whether a shift of the input by `time_multiple` frames shifts the masks, whatever the length of the input."""
    reads: Reads = "vectors"
    """The field of `QueryEmbedding` that the model reads. `regions`: a video query is given as its regions, every other
    query as a vector. `cuts`: `box_labels`, and the pictures of the boxes as `frames`. `boxes`: `box_labels` and
    `box_vectors`. `nothing`: the masks are interchangeable, and only the known sources can assign them."""
    audio_space: Literal["none", "query", "teacher"] = "none"
    """Space of `embed_audio`: none (no such method), that of the queries, or that of an audio teacher."""
    has_noise_heads: bool = False
    """Whether it predicts noise masks in training, and outside of training while its `keep_noise_heads` is true."""

    @property
    def answers_queries(self) -> bool:
        """Whether the order of its masks is that of the queries."""
        return self.reads != "nothing"


def contract_of(unet: UNetConfig, **declared: Any) -> Contract:
    """Build the contract of a model around the audio U-Net; `declared` are the fields that differ from the defaults."""
    return Contract(time_multiple=unet.time_multiple, is_shift_equivariant=unet.is_shift_equivariant, **declared)


class Model(Protocol):
    """The interface of a network of the domain `spectrogram` for the other parts of the project.

    A model with an `audio_space` also has `embed_audio` and `pool_audio`.
    """

    contract: Contract
    config: Any
    """The frozen `Config` it was built from."""
    unet: AudioUNet

    def __call__(self, log_magnitude: Float[Tensor, "B 1 256 T"], query: QueryEmbedding) -> MaskOutput:
        """Compute the masks of every query; T is a multiple of `contract.time_multiple`."""
        ...


class WaveformModel(Protocol):
    """The interface of a network of the domain `waveform`, which makes its own transform where it needs one."""

    contract: Contract
    config: Any
    """The frozen `Config` it was built from."""

    def __call__(self, mixture: Float[Tensor, "B S"], query: QueryEmbedding) -> Float[Tensor, "B Q S2"]:
        """Estimate the sound of every source, for any S above twice `contract.context_samples`.

        The estimates leave the context out: S2 = S − 2 · `context_samples`.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class VectorQuery:
    """The scaling of the query vectors that a model reads, shared by every `Config` of a model with a shared space."""

    normalize_query: bool = False
    """Bring each query vector to unit length first. False for published checkpoints."""
    query_scale: float = 1.0
    """Factor on the query vector, so that unit vectors of any space start a projection at a useful slope. It is
    1 in the papers."""

    def scaled(self, vectors: Float[Tensor, "*any D"]) -> Float[Tensor, "*any D"]:
        """Scale the vectors as the layers of the model read them."""
        return (nn.functional.normalize(vectors, dim=-1) if self.normalize_query else vectors) * self.query_scale


def model_names() -> list[str]:
    """List the names of all models, which are the files of this folder."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def model_module(name: str) -> ModuleType:
    """Import the module of a model; `ConfigError` for an unknown name."""
    if name not in model_names():
        raise ConfigError(f"unknown model '{name}': expected one of {', '.join(model_names())}")
    return importlib.import_module(f"{__name__}.{name}")
