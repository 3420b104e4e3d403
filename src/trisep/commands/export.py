"""`trisep export`: a model → ONNX files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Export a model as ONNX files: the separator, and the towers that embed words, pictures and sounds.

    Any length and any number of queries fit. Each file is compared with PyTorch before the folder appears. The folder
    is enough to separate without PyTorch, as `examples/separate_with_onnx.py` shows. Needs the extra `onnx`.

    For example:

        trisep export default --out exported
        trisep export run/model --out exported
    """

    model: Annotated[Positional[str], arg(metavar="MODEL")]
    """A model, by name (see: trisep models) or checkpoint folder."""
    out: Path
    """Folder to write; an older export in it is replaced."""


def run(arguments: Arguments) -> int:
    """Export, and print each file with its difference from PyTorch; returns 0."""
    from trisep.checkpoints.onnx import export_onnx
    from trisep.checkpoints.registry import load_named
    from trisep.encoders import load_encoder

    checkpoint = load_named(arguments.model)
    content = export_onnx(checkpoint, load_encoder(checkpoint.encoder), arguments.out)
    for name, difference in content["largest_difference"].items():
        size = (arguments.out / f"{name}.onnx").stat().st_size / 1e6
        print(f"{arguments.out / name}.onnx  {size:5.1f} MB  within {difference:.1g} of PyTorch")
    return 0
