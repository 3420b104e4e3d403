"""Protocols: frozen, seeded lists of mixtures whose sources are known, with their signal and scoring settings.

There is one file for each protocol. It is found by its name, defines `PROTOCOL` (or several as `PROTOCOLS`) and says in
its docstring how the original code works and where the paper differs from it. Lists are drawn lazily, from a list of
clips (`clip_lists`) by a method of `pairing`; they can be written and read back (`pair_files`). Labels choose pairs and
text queries, and group scores; training never sees anything of this.
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
    """File that holds the sound of the source."""
    label: str
    """Name of its class, for the query and the report, never for training."""
    query: str = ""
    """The text query that a person would use for it; empty where that is the label."""
    group: str = ""
    """Name of its group; the sources of one group are also reported apart."""
    start_seconds: float = 0.0
    """Start of the clip in the file."""
    end_seconds: float | None = None
    """End of the clip in the file; None is the end of the file."""
    gain_db: float = 0.0
    """Level of the source relative to the protocol's."""
    start: float = 0.5
    """Position of a segment in the clip as a share of the free length: 0 at the beginning, 1 at the end."""
    picture: Path | None = None
    """Video that shows the source; None where that is `path`."""
    place: Place | None = None
    """Place of the source in the picture; None where the whole picture shows it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProtocolMixture:
    """Sources that are summed, and a sound that belongs to none of them."""

    index: int
    sources: tuple[ProtocolSource, ...]
    interference: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """Settings by which mixtures are drawn, made, separated and scored."""

    name: str
    pairs: Callable[[Path, int], Iterator[ProtocolMixture]]
    """Function of (data, seed) that yields the list; the same data and seed give the same list."""
    signal: SignalSettings
    """Sampling rate and segment length of the mixtures, and the STFT of the classical systems."""
    fixes_rate: bool = True
    """Refuse models of another sampling rate. False: clips are brought to the model's own rate, and scored at it."""
    whole_clips: bool = False
    """Take clips over their whole length, cut to the shorter, rather than segments of `signal.clip_samples`."""
    level_db: float | None = None
    """RMS in dBFS to which each source is brought, over its whole length; None divides the recorded level by N. The
    level at which a model hears the mixture is the model's own (`SignalSettings.mixture_level_db`)."""
    interference_db: float = 0.0
    """Level of the interference relative to a source, over the length of the mixture."""
    templates: tuple[str, ...]
    """Prompt templates of a text query: one, or several whose raw embeddings are averaged."""
    num_frames: int = 3
    """Number of frames of an image or video query, around the middle of the segment."""
    frame_spacing_seconds: float = 1.0
    num_scored: int = 2
    """Number of sources that are scored, from the first; all are separated."""
    binary_masks: bool = False
    """Binarise masks at ½ where the model was trained on binary targets."""
    headline: tuple[str, ...] = ("sdri", "si_sdri")
    """Metrics that the printed table shows; all others are in the CSV and the summary."""

    @property
    def level_rule(self) -> str:
        """How loud a mixture is, and how loud a model hears it; the second half is the same in all protocols."""
        sources = (
            "sources as recorded, divided by their number"
            if self.level_db is None
            else f"sources at {self.level_db:g} dBFS RMS, changed by their own gains"
        )
        return f"{sources}; a model hears the mixture at its level of training, or as it is if it was trained so"


def protocol_names() -> list[str]:
    """List the names of all protocols, as `--protocol` takes them."""
    return sorted(_protocols())


def protocol(name: str) -> Protocol:
    """Return the protocol of that name; `ConfigError` for an unknown one."""
    known = _protocols()
    if name not in known:
        raise ConfigError(f"unknown protocol '{name}': expected one of {', '.join(sorted(known))}")
    return known[name]


def _protocols() -> dict[str, Protocol]:
    modules = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    found = [one for module in modules for one in getattr(module, "PROTOCOLS", ())]
    found += [module.PROTOCOL for module in modules if hasattr(module, "PROTOCOL")]
    return {one.name: one for one in found}
