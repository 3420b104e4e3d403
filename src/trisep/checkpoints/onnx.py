"""A model and the towers of `lite` as ONNX files, which other runtimes run without PyTorch.

    separator.onnx   log_magnitude [1, 1, 256, T], vectors [Q, D] → masks [Q, 256, T]; T as `time_multiple` says
    words.onnx       ids, attention [n, m] of a query in n templates → vector [384]
    picture.onnx     pixels [n, 3, H, W] from 0 to 255, sides multiples of 32 → vectors [n, 384]
    sound.onnx       log_mel [n, 64, T] → logits [n, C] of the tower's classes
    grids.npz        window [W], to_log [256, F] and to_linear [F, 256]: the transform that surrounds the separator
    vocabulary.txt   the word pieces, one a line; the number of a line is an id
    export.json      settings, inputs and outputs, and how far each file is from PyTorch

Each file is run by onnxruntime on other sizes than it was traced with, and compared. Nothing here separates a file:
`examples/separate_with_onnx.py` does, with numpy, soundfile and onnxruntime alone.
"""

import importlib
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn
from torch.export import Dim

from trisep import pretrained
from trisep.checkpoints.format import Checkpoint
from trisep.encoders import QUERY_TEMPLATES
from trisep.encoders.efficientnet_lite import preprocess
from trisep.encoders.lite import LiteEncoder, mean_pool
from trisep.errors import CheckpointError, ConfigError, needs_extra
from trisep.media.files import replacing_folder, require_place, write_json
from trisep.spectrogram.log_frequency import to_linear_frequency, to_log_frequency
from trisep.types import QueryEmbedding

LARGEST_DIFFERENCE = 1e-4
"""An export that is further from PyTorch anywhere is refused."""
_OPSET = 18
_FILES = {"export.json", "separator.onnx", "words.onnx", "picture.onnx", "sound.onnx", "grids.npz", "vocabulary.txt"}
_QUERIES, _STEPS, _BATCH, _TOKENS = (Dim(name, min=1, max=4096) for name in ("queries", "steps", "n", "tokens"))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """A network, what it is traced with, and inputs of other sizes that it is compared on."""

    network: nn.Module
    inputs: Mapping[str, Tensor]
    output: str
    dynamic: tuple[dict[int, Any], ...]
    others: tuple[Tensor, ...]


def export_onnx(checkpoint: Checkpoint, encoder: Any, out: Path) -> dict[str, Any]:
    """Write a model that reads query vectors to the folder `out`, with the towers of its encoder if that is `lite`.

    Returns the content of export.json. An older export in `out` is replaced. Raises CheckpointError for a model that
    reads something else or whose ONNX file differs from it by more than 1e-4, ConfigError for a folder that
    holds other files, MediaError for a place without room, MissingExtraError without the extra `onnx`.
    """
    contract = checkpoint.model.contract
    if contract.reads != "vectors":
        raise CheckpointError(
            f"{checkpoint.path}: {checkpoint.model_name} reads {contract.reads}, and only models that read one vector "
            "for each query can be exported; choose another model"
        )
    foreign = sorted(path.name for path in out.iterdir() if path.name not in _FILES) if out.is_dir() else []
    if foreign or (out.exists() and not out.is_dir()):
        raise ConfigError(f"--out: {out} holds {', '.join(foreign[:3]) or 'no folder'}; choose a new or empty folder")
    with needs_extra("trisep export"):
        for module in ("onnx", "onnxruntime", "onnxscript"):
            importlib.import_module(module)  # before any work
    parts = {"separator": _separator(checkpoint)}
    towers = encoder if isinstance(encoder, LiteEncoder) else None
    if towers is not None:
        parts |= {"words": _words(towers), "picture": _picture(towers), "sound": _sound(towers)}
    values = (value for part in parts.values() for value in part.network.state_dict().values())
    require_place(out, sum(value.numel() * value.element_size() for value in values))
    with replacing_folder(out) as folder:
        console = Console(stderr=True)
        shown: dict[str, Any] = {"console": console, "transient": True, "disable": not console.is_interactive}
        rows = track(parts.items(), "export", **shown)
        differences = {name: _export(part, folder / f"{name}.onnx") for name, part in rows}
        np.savez(folder / "grids.npz", allow_pickle=False, **_grids(checkpoint))
        content: dict[str, Any] = {
            "model": checkpoint.model_name,
            "signal": asdict(checkpoint.signal),
            "time_multiple": contract.time_multiple,
            "encoder": checkpoint.encoder,
            "templates": list(QUERY_TEMPLATES),
            "largest_difference": differences,
        }
        if towers is not None:
            _write_vocabulary(folder / "vocabulary.txt")
            content["sound_classes"] = list(towers.sounds.names)
        write_json(folder / "export.json", content)
    return content


def _export(part: _Part, file: Path) -> float:
    """Write one network, and return how far its outputs on the other inputs are from PyTorch's."""
    import onnxruntime

    names, network = list(part.inputs), part.network.eval()
    compared = (tuple(part.inputs.values()), part.others)
    with torch.no_grad():
        # This also reads what the encoder reads when it is first used, which cannot be traced.
        expected = [network(*values).numpy() for values in compared]
    with _without_internals():
        program = torch.onnx.export(
            network,
            compared[0],
            input_names=names,
            output_names=[part.output],
            dynamic_shapes=part.dynamic,
            opset_version=_OPSET,
            external_data=False,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    program.save(str(file))
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    difference = 0.0
    for values, wanted in zip(compared, expected, strict=True):
        (found,) = session.run(None, {name: value.numpy() for name, value in zip(names, values, strict=True)})
        difference = max(difference, float(np.abs(found - wanted).max()))
    if not difference <= LARGEST_DIFFERENCE:
        raise CheckpointError(
            f"{file.name}: differs from PyTorch by {difference:.2g}, more than {LARGEST_DIFFERENCE:g}; "
            "use the versions in constraints.txt"
        )
    return difference


@contextmanager
def _without_internals() -> Iterator[None]:
    """Keep the exporter from warning of its own internals, about which nobody who exports a model can do anything."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


class _Separator(nn.Module):
    """The network with one mixture, and without what masks do not need."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, log_magnitude: Float[Tensor, "1 1 256 T"], vectors: Float[Tensor, "Q D"]) -> Tensor:
        """Compute the masks [Q, 256, T]."""
        masks: Tensor = self.model(log_magnitude, QueryEmbedding(vectors=vectors[None])).masks
        return masks[0]


def _separator(checkpoint: Checkpoint) -> _Part:
    multiple, dim = checkpoint.model.contract.time_multiple, checkpoint.model.config.embedding_dim
    generator = torch.Generator().manual_seed(0)

    def inputs(steps: int, queries: int) -> tuple[Tensor, Tensor]:
        """Noise as loud as the logarithm of magnitudes, and vectors of unit length."""
        rows = checkpoint.signal.num_log_bins
        spectrogram = torch.randn(1, 1, rows, steps * multiple, generator=generator) * 3 - 4
        return spectrogram, nn.functional.normalize(torch.randn(queries, dim, generator=generator), dim=-1)

    traced = inputs(3, 2)
    return _Part(
        network=_Separator(checkpoint.model),
        inputs=dict(zip(("log_magnitude", "vectors"), traced, strict=True)),
        output="masks",
        dynamic=({3: Dim("steps", min=2, max=4096) * multiple}, {0: _QUERIES}),
        others=inputs(2, 1),
    )


class _Words(nn.Module):
    """The text tower, the mean over templates, and the step towards the classes."""

    def __init__(self, encoder: LiteEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.tower = encoder.text_tower

    def forward(self, ids: Int[Tensor, "n m"], attention: Int[Tensor, "n m"]) -> Float[Tensor, "384"]:
        """Embed a query that is filled into n templates."""
        return self.encoder.ground(mean_pool(self.tower.from_ids(ids, attention), attention).mean(dim=0))


def _words(encoder: LiteEncoder) -> _Part:
    def inputs(text: str) -> tuple[Tensor, Tensor]:
        """The templates of a query as word pieces."""
        return encoder.tokenize([template.format(text) for template in QUERY_TEMPLATES])

    traced = inputs("person playing a violin")
    shape = {0: _BATCH, 1: _TOKENS}
    return _Part(
        network=_Words(encoder),
        inputs=dict(zip(("ids", "attention"), traced, strict=True)),
        output="vector",
        dynamic=(shape, shape),
        others=inputs("dog"),
    )


class _Picture(nn.Module):
    """The image tower and the mean of the most probable classes' texts."""

    def __init__(self, encoder: LiteEncoder) -> None:
        super().__init__()
        self.encoder, self.tower = encoder, encoder.image_tower

    def forward(self, pixels: Float[Tensor, "n 3 H W"]) -> Float[Tensor, "n 384"]:
        """Embed pictures whose values are 0 to 255."""
        logits = self.encoder.location_logits(preprocess(pixels))
        return self.encoder.embed_logits(logits.mean(dim=(2, 3)))


def _picture(encoder: LiteEncoder) -> _Part:
    def inputs(count: int, height: int, width: int) -> tuple[Tensor]:
        """Noise in the range of pixels."""
        return (torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0)) * 255,)

    rows, columns = (Dim(name, min=7, max=24) * 32 for name in ("rows", "columns"))
    return _Part(
        network=_Picture(encoder),
        inputs={"pixels": inputs(2, 224, 288)[0]},
        output="vectors",
        dynamic=({0: _BATCH, 2: rows, 3: columns},),
        others=inputs(1, 256, 224),
    )


class _Sound(nn.Module):
    """The audio tower over a whole sound."""

    def __init__(self, encoder: LiteEncoder) -> None:
        super().__init__()
        self.tower = encoder.sounds.network

    def forward(self, log_mel: Float[Tensor, "n 64 T"]) -> Float[Tensor, "n C"]:
        """Compute the logits of whole sounds."""
        return self.tower.classify(self.tower(log_mel).mean(dim=1))


def _sound(encoder: LiteEncoder) -> _Part:
    generator = torch.Generator().manual_seed(0)
    return _Part(
        network=_Sound(encoder),
        inputs={"log_mel": torch.randn(2, 64, 64, generator=generator)},
        output="logits",
        dynamic=({0: _BATCH, 2: Dim("steps", min=2, max=4096) * 16},),
        others=(torch.randn(1, 64, 160, generator=generator),),
    )


def _grids(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    """The window of the transform, and the way to the log grid and back as matrices."""
    signal = checkpoint.signal
    return {
        "window": torch.hann_window(signal.window_samples).numpy(),
        "to_log": to_log_frequency(torch.eye(signal.num_bins), signal.num_log_bins).numpy(),
        "to_linear": to_linear_frequency(torch.eye(signal.num_log_bins), signal.num_bins).numpy(),
    }


def _write_vocabulary(file: Path) -> None:
    """Write the word pieces of the published tokenizer in the order of their ids."""
    published = json.loads(pretrained.find("minilm-l6-tokenizer").read_text(encoding="utf-8"))
    pieces: dict[str, int] = published["model"]["vocab"]
    file.write_text("\n".join(sorted(pieces, key=pieces.__getitem__)) + "\n", encoding="utf-8")
