"""Checkpoints: their format, the registry of named ones, the import of published state dicts, and the export to ONNX.

    format.py     a folder of safetensors and JSON: models, and states of training
    registry.py   models by name
    published.py  state dicts of other projects → checkpoints
    onnx.py       checkpoints → ONNX files

This package knows no training loop and no data.
"""

from typing import Literal

PublishedKind = Literal["clipsep", "clipsep-nit", "clipsep-middle", "sound-of-pixels"]
"""The published networks that can be imported."""
