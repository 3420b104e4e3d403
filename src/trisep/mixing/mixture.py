"""Mix-and-separate: the draw of clips, crops and levels, and the mixture of the sounds.

Clips are drawn uniformly and without labels, unless `MixingConfig` states otherwise. `draw_mixture` makes the choices,
which are data; `mix` applies the choices about level to sounds that were read. This file knows no store and no network.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from trisep.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class MixingConfig:
    """Settings of the draw and of the mixture."""

    num_sources: int = 2
    """N, the number of clips in a mixture, each with its query."""
    num_frames: int = 3
    """K, the number of frames around the middle of the crop that make the query."""
    frame_spacing_seconds: float | None = None
    """Distance of these frames, of which the nearest to each moment is taken; None takes the K frames
    nearest to the middle."""
    source_gain_db: tuple[float, float] = (-6.0, 3.5)
    """Range of each source's random gain; the default is CLIPSep's factor 0.5 to 1.5."""
    equalize_levels: bool = False
    """Bring each clip to one level before the gain, such that a mixture is at the level that the network reads at, but
    for the gains. CLIPSep does not."""
    mixture_gain_db: tuple[float, float] = (0.0, 0.0)
    """Range of a gain on the whole mixture."""
    distinct_labels: bool = False
    """Never mix two clips of one label, whose queries in words would be the same; needs labels. Ours."""
    balance: float = 0.0
    """A clip is drawn in proportion to n to the power of −balance, with n the number of clips of its label and group: 0
    draws all clips alike, 1 all groups alike. Needs labels. Ours; 0 in the papers.
    """
    within_domain: float = 0.0
    """Probability that all clips of a mixture are of the first one's domain (instruments, say), since sounds of a kind
    are harder to tell apart than music and a car. Needs labels with a column `domain`. Ours; 0 in the papers."""
    num_absent_queries: int = 0
    """Number of queries of clips that are not in the mixture, whose targets are silence. Ours; 0 in the papers."""
    interference_probability: float = 0.0
    """Probability of an off-screen sound, which no query names."""
    interference_db: tuple[float, float] = (-12.0, 0.0)
    """Range of the level of the off-screen sound relative to a source."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.num_sources < 1 or self.num_frames < 1 or self.num_absent_queries < 0:
            raise ConfigError("num_sources and num_frames must be at least 1, num_absent_queries at least 0")
        if self.frame_spacing_seconds is not None and not 0 < self.frame_spacing_seconds < math.inf:
            raise ConfigError(
                f"mixing.frame_spacing_seconds: expected above 0 and finite, or none, got {self.frame_spacing_seconds}"
            )
        if not 0 <= self.balance <= 1:
            raise ConfigError(f"mixing.balance: expected 0 to 1, got {self.balance}")
        for name in ("within_domain", "interference_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"mixing.{name}: expected 0 to 1, got {getattr(self, name)}")
        for name in ("source_gain_db", "mixture_gain_db", "interference_db"):
            low, high = getattr(self, name)
            if not -math.inf < low <= high < math.inf:
                raise ConfigError(f"mixing.{name}: expected two finite numbers, the lower one first, got {low},{high}")


@dataclass(frozen=True, slots=True)
class MixtureChoice:
    """All choices for one training sample."""

    clips: tuple[int, ...]
    """Indices of the N sources, then of the absent queries."""
    positions: tuple[float, ...]
    """Position of the crop in each clip, 0 to 1."""
    gains_db: tuple[float, ...]
    mixture_gain_db: float
    interference: tuple[float, float, float] | None
    """The interfering clip (0 to 1 of their number), its position and its level in dB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipGroups:
    """Labels and weights of the clips of a store, for draws by labels."""

    labels: Int[np.ndarray, "clips"]
    """The label of each clip, as a number."""
    weights: Float[np.ndarray, "clips"]
    """Probability of each clip in a draw; they sum to 1."""
    domains: Int[np.ndarray, "clips"]
    """The domain of each clip, as a number."""


def group_clips(
    labels: Int[np.ndarray, "clips"], groups: Sequence[str], balance: float, domains: Sequence[str] = ()
) -> ClipGroups:
    """Compute the weights of clips by their labels and groups (library, recordist), for `MixingConfig.balance`.

    Without `domains`, all clips are of one.
    """
    keys = list(zip(labels.tolist(), groups, strict=True))
    sizes = Counter(keys)
    weights = np.array([sizes[key] ** -balance for key in keys])
    numbers = np.unique(list(domains) or [""] * len(labels), return_inverse=True)[1]
    return ClipGroups(labels=labels, weights=weights / weights.sum(), domains=numbers)


def draw_mixture(
    num_clips: int, config: MixingConfig, generator: np.random.Generator, groups: ClipGroups | None = None
) -> MixtureChoice:
    """Draw distinct clips: uniformly, whatever they contain, or, with `groups`, as the configuration states.

    Raises ConfigError when there are too few clips, or too few labels.
    """
    needed = config.num_sources + config.num_absent_queries
    if num_clips < needed:
        raise ConfigError(f"the store holds {num_clips} clips; a mixture of this recipe needs {needed} different ones")
    if groups is None:
        clips = generator.choice(num_clips, size=needed, replace=False)
    else:
        clips = _draw_by_groups(num_clips, needed, config, generator, groups)
    interference = (generator.random(), generator.random(), generator.uniform(*config.interference_db))
    interfered = generator.random() < config.interference_probability
    return MixtureChoice(
        clips=tuple(int(clip) for clip in clips),
        positions=tuple(generator.random(needed).tolist()),
        gains_db=tuple(generator.uniform(*config.source_gain_db, config.num_sources).tolist()),
        mixture_gain_db=float(generator.uniform(*config.mixture_gain_db)),
        interference=interference if interfered else None,
    )


def _draw_by_groups(
    num_clips: int, needed: int, config: MixingConfig, generator: np.random.Generator, groups: ClipGroups
) -> Int[np.ndarray, "_"]:
    """Draw clips by their weights until their labels differ, if they have to; ConfigError if there are too few.

    Where the domain that was drawn has too few of them for a mixture, clips come from all domains.
    """
    kinds = groups.labels if config.distinct_labels else np.arange(num_clips)
    if (num_kinds := len(np.unique(kinds))) < needed:
        raise ConfigError(f"mixing.distinct_labels: a mixture needs {needed} labels, and the clips have {num_kinds}")
    weights = groups.weights
    if config.within_domain and generator.random() < config.within_domain:
        inside = groups.domains == groups.domains[generator.choice(num_clips, p=weights)]
        if len(np.unique(kinds[inside])) >= needed:
            weights = np.where(inside, weights, 0) / weights[inside].sum()
    while True:
        clips = generator.choice(num_clips, size=needed, replace=False, p=weights)
        if len(np.unique(kinds[clips])) == needed:
            return clips


def mix(
    sources: Sequence[Float[np.ndarray, "S"]],
    interference: Float[np.ndarray, "S"] | None,
    choice: MixtureChoice,
    *,
    level_gains_db: Sequence[float],
) -> tuple[Float[np.ndarray, "N S"], Float[np.ndarray, "S"]]:
    """Return the sources as they stand in the sum, each divided by N as in the public code, and the interference.

    `level_gains_db` is applied to each source beside its drawn gain. `interference` has unit RMS over its whole clip
    and is brought to its level under the sources.
    """
    gains_db = np.asarray(choice.gains_db) + np.asarray(level_gains_db)
    scaled = np.stack(sources) * (10 ** (gains_db / 20) / len(sources)).astype(np.float32)[:, None]
    noise = np.zeros_like(scaled[0])
    if interference is not None and choice.interference is not None:
        reference = float(np.sqrt(np.mean(scaled**2, axis=1)).mean())
        noise = interference * np.float32(reference * 10 ** (choice.interference[2] / 20))
    overall = np.float32(10 ** (choice.mixture_gain_db / 20))
    return scaled * overall, noise * overall
