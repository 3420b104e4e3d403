"""Separate the sounds of a video by what you name or point at.

Importing this package imports nothing heavy: each name below is fetched when it is first used.

    separator = trisep.load("default")
    separation = separator.separate("clip.mp4", ["violin", "rooster barking"])
"""

import importlib
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
    from trisep.separation.options import OutputOptions, SeparationOptions
    from trisep.separation.separator import Separator, load
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
_HOMES = {
    "OutputOptions": "separation.options",
    "SeparationOptions": "separation.options",
    "Separator": "separation.separator",
    "load": "separation.separator",
}
"""Modules of public names that are neither errors nor types."""


def __getattr__(name: str) -> Any:
    """Fetch a public name from where it is defined."""
    if name == "__version__":
        from importlib.metadata import version  # takes half as long as all the rest of `trisep --help`

        return version("trisep")
    if name not in __all__:
        raise AttributeError(f"module 'trisep' has no attribute '{name}'")
    home = "errors" if name.endswith("Error") else _HOMES.get(name, "types")
    value = getattr(importlib.import_module(f"trisep.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return __all__
