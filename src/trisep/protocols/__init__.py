"""Protocols: frozen, seeded lists of mixtures whose sources are known, with signal and scoring settings. One file each.

A protocol file, found by its name, defines `PROTOCOL` (or several as `PROTOCOLS`) and says in its docstring what the
original code did and where the paper differs from it. Lists are drawn lazily, from a list of clips (`clip_lists`) by a
method of `pairing`; they can be written and read back (`pair_files`). Labels choose pairs and text queries, and group
scores; training never sees anything of this.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from trisep.errors import ConfigError
from trisep.types import Place, SignalSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class ProtocolSource:
    """One source of a mixture."""

    path: Path
    """File with the source's sound."""
    label: str
    """Name of its class: for the query and the report, never for training."""
    query: str = ""
    """How a person would name it, for the text query; empty where that is the label."""
    group: str = ""
    """Sources of one group are also reported apart."""
    start_seconds: float = 0.0
    """Where the clip begins in the file."""
    end_seconds: float | None = None
    """Where it ends; None at the end of the file."""
    start: float = 0.5
    """Where a segment lies in the clip, as a share of the room there is: 0 at its beginning, ½ in the middle, 1 at its
    end.
    """
    picture: Path | None = None
    """Video that shows it; None where that is `path`."""
    place: Place | None = None
    """Where in the picture it is; None where all of the picture is of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProtocolMixture:
    """Sources that are summed, and a sound that belongs to none of them."""

    index: int
    sources: tuple[ProtocolSource, ...]
    interference: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """How mixtures are drawn, made, separated and scored."""

    name: str
    pairs: Callable[[Path, int], Iterator[ProtocolMixture]]
    """(data, seed) → the list; the same for the same data and seed."""
    signal: SignalSettings
    """Sampling rate and segment length of the mixtures, and the STFT of the classical systems."""
    fixes_rate: bool = True
    """Refuse models of another sampling rate. Where false, clips are brought to the model's own rate, and scored at it.
    """
    whole_clips: bool = False
    """Take clips over their whole length, cut to the shorter, rather than segments of `signal.clip_samples`."""
    level_db: float | None = None
    """RMS in dBFS that each source is brought to, over its whole length; None leaves it as recorded and divides it by
    N.
    """
    interference_db: float = 0.0
    """Level of the interference over that of a source, over the mixture's length."""
    templates: tuple[str, ...]
    """Wordings of a text query. One: its raw embedding. Several: each normalised, their mean, normalised."""
    num_frames: int = 3
    """Frames of an image or video query, around the middle of the segment."""
    frame_spacing_seconds: float = 1.0
    num_scored: int = 2
    """Sources that are scored, from the first; all are separated."""
    binary_masks: bool = False
    """Binarise masks at ½ where the model was trained on binary targets."""
    headline: tuple[str, ...] = ("sdri", "si_sdri")
    """The metrics that the printed table shows; all others are in the CSV and the summary."""


def protocol_names() -> list[str]:
    """Names of all protocols, as `--protocol` takes them."""
    return sorted(_protocols())


def protocol(name: str) -> Protocol:
    """The protocol of that name; `ConfigError` for an unknown one."""
    known = _protocols()
    if name not in known:
        raise ConfigError(f"unknown protocol '{name}': expected one of {', '.join(sorted(known))}")
    return known[name]


def _protocols() -> dict[str, Protocol]:
    modules = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    found = [one for module in modules for one in getattr(module, "PROTOCOLS", ())]
    found += [module.PROTOCOL for module in modules if hasattr(module, "PROTOCOL")]
    return {one.name: one for one in found}
