"""The learned systems of the papers, one file each, discovered by file name.

A model file defines `Config`, a frozen dataclass with `tiny()` (seconds on a CPU) and `build()`, which returns the network. The network's
`forward(log_magnitude [B, 1, 256, T], query) → MaskOutput` knows nothing of warps, phases, targets, losses or data.
"""

import importlib
import pkgutil
from types import ModuleType

from trisep.errors import ConfigError


def model_names() -> list[str]:
    """Names of all models: the files of this folder."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def model_module(name: str) -> ModuleType:
    """The module of a model; `ConfigError` for an unknown name."""
    if name not in model_names():
        raise ConfigError(f"unknown model '{name}': expected one of {', '.join(model_names())}")
    return importlib.import_module(f"{__name__}.{name}")
