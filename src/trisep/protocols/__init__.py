"""Protocols: frozen, seeded lists of mixtures whose sources are known, with their scoring rule. One file each, discovered by file name.

A protocol file defines `SIGNAL_RATE_HZ`, `SPLITS` (named groups of sources to report apart) and `mixtures(data, seed, limit)`.
"""

import importlib
import pkgutil
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from trisep.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class ProtocolSource:
    """One source of a mixture."""

    path: Path
    """Video with the source's sound and picture."""
    label: str
    """Name of its class: for the query and the report, never for training."""
    text: str
    """The query in words, ready to be encoded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProtocolMixture:
    """Sources that are brought to `level_db` each, over their whole length, and summed."""

    index: int
    sources: tuple[ProtocolSource, ...]
    level_db: float


def protocol(name: str) -> ModuleType:
    """The protocol of that name; `ConfigError` for an unknown one."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    if name not in names:
        raise ConfigError(f"unknown protocol '{name}': expected one of {', '.join(names)}")
    return importlib.import_module(f"{__name__}.{name}")
