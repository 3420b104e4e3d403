"""Floors, ceilings and classical systems, with which every learned system is compared: one file each.

They are found by file name. A baseline file defines `Config` (frozen), `estimate(mixture [S], *, signal, config, …) →
[Q, S]`, and three constants:

    KIND     "floor" (needs no skill), "classical" (blind, no training) or "ceiling" (uses the sources)
    NEEDS    which of `num_sources`, `references`, `generator` its `estimate` takes besides
    ORDERED  whether row q belongs to source q; where not, the system cannot know, and an oracle has to order its rows

This package knows no model, no metric and no protocol.
"""

import importlib
import pkgutil
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from trisep.errors import ConfigError
from trisep.types import SignalSettings


def baseline_names() -> list[str]:
    """List the names of all baselines, which are the files of this folder."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def baseline(name: str) -> ModuleType:
    """Import the module of a baseline; `ConfigError` for an unknown name."""
    if name not in baseline_names():
        raise ConfigError(f"unknown baseline '{name}': expected one of {', '.join(baseline_names())}")
    return importlib.import_module(f"{__name__}.{name}")


def run_baseline(
    name: str,
    mixture: Float[np.ndarray, "S"],
    *,
    references: Float[np.ndarray, "N S"],
    signal: SignalSettings,
    generator: np.random.Generator,
    config: Any = None,
) -> Float[np.ndarray, "N S"]:
    """Compute one estimate per reference, in their order, with any baseline; each receives only what it needs.

    The rows of systems that are not `ORDERED` are ordered by `best_order`: an oracle that every report has to mention.

    Args:
        name: one of `baseline_names()`.
        mixture: the mixture, mono, at `signal.sample_rate_hz`.
        references: the true sources as they stand in it.
        signal: the STFT, and the grid of the model with which the baseline is compared.
        generator: used only by systems with a random start.
        config: the baseline's `Config`; None takes its defaults.

    Raises:
        ConfigError: an unknown name, or a system that cannot give as many estimates as there are references.
    """
    module = baseline(name)
    available = {"num_sources": len(references), "references": references, "generator": generator}
    chosen = {key: available[key] for key in module.NEEDS}
    estimates: Float[np.ndarray, "Q S"] = module.estimate(
        mixture, signal=signal, config=config or module.Config(), **chosen
    )
    if len(estimates) < len(references):
        raise ConfigError(
            f"baseline '{name}' gives {len(estimates)} estimates, and the mixture has {len(references)} sources: leave "
            "it out"
        )
    return estimates if module.ORDERED else estimates[best_order(references=references, estimates=estimates)]


def best_order(*, references: Float[np.ndarray, "N S"], estimates: Float[np.ndarray, "Q S"]) -> Int[np.ndarray, "N"]:
    """Return for each reference the row of its estimate, in the assignment of least total squared error.

    Each row is used at most once.
    """
    error = np.square(references[:, None] - estimates[None], dtype=np.float64).sum(axis=-1)
    _, rows = linear_sum_assignment(error)
    return np.asarray(rows)
