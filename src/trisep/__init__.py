"""Separate the sounds of a video by what you name or point at.

Importing this package imports nothing heavy: each name below is fetched when it is first used.

    separator = trisep.load("default")
    separation = separator.separate("clip.mp4", ["violin", "rooster barking"])
"""

import importlib
import importlib.metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trisep.errors import (
        CheckpointError,
        ConfigError,
        MediaError,
        QueryError,
        StoreError,
        TrainingError,
        TrisepError,
    )
    from trisep.separation.separator import OutputOptions, SeparationOptions, Separator, load
    from trisep.types import (
        Audio,
        Clip,
        Localization,
        MaskOutput,
        Mixture,
        Place,
        Query,
        QueryEmbedding,
        Separation,
        SignalSettings,
        Stem,
    )

__all__ = [
    "Audio",
    "CheckpointError",
    "Clip",
    "ConfigError",
    "Localization",
    "MaskOutput",
    "MediaError",
    "Mixture",
    "OutputOptions",
    "Place",
    "Query",
    "QueryEmbedding",
    "QueryError",
    "Separation",
    "SeparationOptions",
    "Separator",
    "SignalSettings",
    "Stem",
    "StoreError",
    "TrainingError",
    "TrisepError",
    "load",
]
_SEPARATOR = {"OutputOptions", "SeparationOptions", "Separator", "load"}


def __getattr__(name: str) -> Any:
    """Fetch a public name from where it is defined."""
    if name == "__version__":
        return importlib.metadata.version("trisep")
    if name not in __all__:
        raise AttributeError(f"module 'trisep' has no attribute '{name}'")
    home = "errors" if name.endswith("Error") else "separation.separator" if name in _SEPARATOR else "types"
    value = getattr(importlib.import_module(f"trisep.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return __all__
