"""Whether a query is present in the mixture at all: a logistic function of features of its masks.

A mask network gives some mask for every query; whether the query is really in the mixture shows in how confident that
mask is and how much of the mixture it takes. The features are accumulated while the masks are streamed. The weights are
fitted on clips whose content is known, and are stored in the checkpoint's card under `presence`.

Where the encoder has an audio tower, what it hears in the stems and in the mixture counts too, with weights of its own:
they pass through the tower as they are separated, at the gain that brings the mixture to the tower's level. The
evidence for words is the mean of the standardised logits of the three nearest classes, weighted by the softmax of their
cosines (docs/experiments/2026-11-27-audio-tower.md). It is ours.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from trisep.encoders import SharedEncoder, encode_query_text
from trisep.encoders.audio_tower import LEVEL_DB, PORTION_SAMPLES, SIGNAL
from trisep.errors import CheckpointError, ConfigError
from trisep.media.audio import StreamedResampler
from trisep.media.downmix import Downmix
from trisep.media.level import gain_between
from trisep.media.records import from_json
from trisep.types import Query

FEATURE_NAMES = ("level_ratio_db", "mean_logit", "share_above_half", "max_activity_db", "mask_percentile_95")
"""The features that `PresenceFeatures.values` returns.

`relative_` before a name means that value minus its mean over the reference queries.
"""
EVIDENCE_NAMES = ("evidence", "max_evidence", "mixture_evidence")
"""The features that `StemEvidence.values` returns."""
_FLOOR_DB = -80.0
_NUM_HISTOGRAM_BINS = 64
_WINDOW_SECONDS = 0.5
_NUM_NEAREST = 3
_TEMPERATURE = 0.02
_WINDOW_STEPS = 4
"""Steps of the tower in about a second; a portion holds a whole number of such windows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvidenceWeights:
    """Weights of the logistic function where stem and mixture were heard."""

    features: tuple[str, ...]
    weights: tuple[float, ...]
    bias: float

    def __post_init__(self) -> None:
        """Raise CheckpointError for unknown names or unequal lengths."""
        _check_features(self.features, self.weights, (*FEATURE_NAMES, *EVIDENCE_NAMES))


@dataclass(frozen=True, kw_only=True, slots=True)
class PresenceCalibration:
    """Weights of the logistic function, and what its features are."""

    features: tuple[str, ...] = ("level_ratio_db",)
    weights: tuple[float, ...] = (0.35,)
    bias: float = 4.2
    """The defaults serve models without a calibration: they give 0.5 where the stem is 12 dB below the mixture."""
    threshold: float = 0.5
    """Presence below which a query counts as absent."""
    reference_queries: tuple[str, ...] = ()
    """Words that are run as queries alongside, with which `relative_…` features compare."""
    with_evidence: EvidenceWeights | None = None
    """What takes the place of features, weights and bias for queries in words where the encoder hears; None hears
    nothing."""

    def __post_init__(self) -> None:
        """Raise CheckpointError for unknown names or unequal lengths."""
        relative = tuple(f"relative_{name}" for name in FEATURE_NAMES)
        _check_features(self.features, self.weights, (*FEATURE_NAMES, *relative))
        if not 0 <= self.threshold <= 1:
            raise CheckpointError(f"presence: threshold must be between 0 and 1, not {self.threshold}")
        if any(name.startswith("relative_") for name in self.features) and not self.reference_queries:
            raise CheckpointError("presence: features are relative to reference queries, but none are given")


def _check_features(features: Sequence[str], weights: Sequence[float], known: Collection[str]) -> None:
    """Raise CheckpointError for unknown names or unequal lengths."""
    unknown = [name for name in features if name not in known]
    if unknown or len(features) != len(weights):
        raise CheckpointError(
            f"presence: {len(weights)} weights for {len(features)} features, unknown: {', '.join(unknown) or 'none'}"
        )


def read_calibration(card: Mapping[str, Any]) -> PresenceCalibration:
    """Return the calibration in a checkpoint's card, or the default where the card has none."""
    try:
        return from_json(PresenceCalibration, card.get("presence") or {})
    except ConfigError as error:
        raise CheckpointError(f"presence in config.json is not a calibration this version reads ({error})") from error


def presence(features: Mapping[str, float], calibration: PresenceCalibration) -> float:
    """Return `sigmoid(w · features + b)`, in [0, 1]; the weights are those with evidence where there is any."""
    heard = calibration.with_evidence
    chosen = heard if heard is not None and features.keys() >= set(EVIDENCE_NAMES) else calibration
    total = chosen.bias
    total += sum(weight * features[name] for name, weight in zip(chosen.features, chosen.weights, strict=True))
    return 0.5 * (1.0 + math.tanh(0.5 * total))


def with_relative(features: Mapping[str, float], references: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the features, and the difference of each from its mean over the reference queries."""
    if not references:
        return dict(features)
    return {
        **features,
        **{
            f"relative_{name}": value - sum(other[name] for other in references) / len(references)
            for name, value in features.items()
        },
    }


class PresenceFeatures:
    """Features of each query, accumulated over a whole sound and weighted by the mixture's magnitude on the log grid.

    `level_ratio_db` is masked energy over energy, and `mean_logit` the mean of the mask's logits. `share_above_half` is
    the share of magnitude where the mask exceeds 0.5. `max_activity_db` is the largest ratio of masked energy to energy
    in half a second; a quiet half second counts less, since a twentieth of the mean energy is added to the denominator.
    `mask_percentile_95` is the mask value that 95 % of the magnitude does not exceed, in steps of 1/64. Memory grows by
    one number per query and half second.
    """

    def __init__(self, num_queries: int, *, hop_seconds: float) -> None:
        """Start with no frames; `hop_seconds` is the time from one frame to the next."""
        self._window_frames = max(1, round(_WINDOW_SECONDS / hop_seconds))
        self._num_frames = 0
        self._magnitude = 0.0
        self._energy = 0.0
        self._masked_energy = np.zeros(num_queries)
        self._logits = np.zeros(num_queries)
        self._above_half = np.zeros(num_queries)
        self._histogram = np.zeros((num_queries, _NUM_HISTOGRAM_BINS))
        self._windows: list[np.ndarray] = []

    def update(
        self,
        masks: Float[Tensor, "Q 256 n"],
        logits: Float[Tensor, "Q 256 n"] | None,
        magnitude: Float[Tensor, "256 n"],
    ) -> None:
        """Add the next n frames. Without logits, they are computed from the masks and lie within ±12."""
        if masks.shape[-1] == 0:
            return
        # Sums over hours need float64, which some devices lack.
        masks, logits, magnitude = masks.cpu(), None if logits is None else logits.cpu(), magnitude.cpu()
        power = magnitude.square()
        self._magnitude += float(magnitude.sum(dtype=torch.float64))
        self._energy += float(power.sum(dtype=torch.float64))
        rows = [power.sum(dim=0)]
        for query, mask in enumerate(masks):
            masked = (mask.square() * power).sum(dim=0)
            rows.append(masked)
            self._masked_energy[query] += float(masked.sum(dtype=torch.float64))
            logit = torch.logit(mask, eps=6e-6) if logits is None else logits[query]
            self._logits[query] += float((logit * magnitude).sum(dtype=torch.float64))
            self._above_half[query] += float(magnitude[mask > 0.5].sum(dtype=torch.float64))
            bins = (mask * _NUM_HISTOGRAM_BINS).long().clamp_(0, _NUM_HISTOGRAM_BINS - 1)
            self._histogram[query] += (
                torch.bincount(bins.flatten(), magnitude.flatten(), minlength=_NUM_HISTOGRAM_BINS).double().numpy()
            )
        self._add_windows(torch.stack(rows).double().numpy())

    def values(self) -> tuple[dict[str, float], ...]:
        """Return the features of each query, by name; silence gives the floor of −80 dB, and zeros."""
        if self._energy <= 0:
            return tuple(
                {name: _FLOOR_DB if name.endswith("_db") else 0.0 for name in FEATURE_NAMES} for _ in self._logits
            )
        windows = np.stack(self._windows, axis=1)
        activity = (windows[1:] / (windows[0] + 0.05 * windows[0].mean())).max(axis=1)
        reached = np.cumsum(self._histogram, axis=1) >= 0.95 * self._histogram.sum(axis=1, keepdims=True)
        columns = (
            _decibels(self._masked_energy / self._energy),
            self._logits / self._magnitude,
            self._above_half / self._magnitude,
            _decibels(activity),
            (reached.argmax(axis=1) + 1) / _NUM_HISTOGRAM_BINS,
        )
        return tuple(dict(zip(FEATURE_NAMES, map(float, row), strict=True)) for row in zip(*columns, strict=True))

    def _add_windows(self, rows: np.ndarray) -> None:
        """Sum energies [1 + Q, n] into windows of half a second, which may span several calls."""
        window_of = (self._num_frames + np.arange(rows.shape[1])) // self._window_frames
        for window in range(int(window_of[0]), int(window_of[-1]) + 1):
            energy = rows[:, window_of == window].sum(axis=1)
            if window < len(self._windows):
                self._windows[window] = self._windows[window] + energy
            else:
                self._windows.append(energy)
        self._num_frames += rows.shape[1]


def _decibels(ratio: np.ndarray) -> np.ndarray:
    """Return 10 log10 of the ratio, but not less than the floor."""
    values: np.ndarray = 10 * np.log10(np.maximum(ratio, 10 ** (_FLOOR_DB / 10)))
    return values


class AudioTower(Protocol):
    """Classes that are heard, in the space of the words (`SoundClasses`)."""

    @property
    def embeddings(self) -> Float[Tensor, "C D"]:
        """Text embeddings of the classes, unit length."""
        ...

    @property
    def usual(self) -> tuple[Float[Tensor, "C"], Float[Tensor, "C"]]:
        """Mean and standard deviation of each class's logit."""
        ...

    def embed_portion(self, sounds: Float[Tensor, "B n"]) -> Float[Tensor, "B N E"]:
        """Embed every step of a portion at 16 kHz."""
        ...

    def classify(self, embeddings: Float[Tensor, "*B E"]) -> Float[Tensor, "*B C"]:
        """Turn embeddings into logits."""
        ...


def evidence_weights(
    tower: AudioTower, vectors: Float[Tensor, "W D"]
) -> tuple[Float[Tensor, "W C"], Float[Tensor, "W"]]:
    """Return w and u, so that `w · logits − u` is the evidence for words, whose text embeddings are given."""
    unit = torch.nn.functional.normalize(vectors, dim=-1)
    mean, deviation = tower.usual
    cosines, nearest = (unit @ tower.embeddings.T).topk(_NUM_NEAREST, dim=-1)
    shares = torch.softmax(cosines / _TEMPERATURE, dim=-1)
    weights = torch.zeros(len(unit), len(mean)).scatter(1, nearest, shares)
    return weights / deviation, (weights * mean / deviation).sum(dim=-1)


class StemEvidence:
    """Evidence for words, accumulated over the stems and the mixture as they come.

    `evidence` is that of the mean embedding of a whole stem, `max_evidence` the largest over windows of 1.024 s, and
    `mixture_evidence` that of the whole mixture. The tower reads portions of a minute, wherever the segments end; no
    more of a stem is kept.
    """

    def __init__(self, tower: AudioTower, words: Mapping[int, tuple[int, Float[Tensor, "D"]]]) -> None:
        """`words` are the number of the stem and the text embedding of each query, by the query's number."""
        self._tower = tower
        self._queries = list(words)
        self._stems = [stem for stem, _ in words.values()]
        self._weights, self._usual = evidence_weights(tower, torch.stack([vector for _, vector in words.values()]))
        self._resampler: StreamedResampler | None = None
        self._downmixes: list[Downmix] = []
        self._portion = np.empty((len(words) + 1, PORTION_SAMPLES), np.float32)
        self._num_waiting = 0
        self._sum: Tensor | float = 0.0
        self._num_steps = 0
        self._largest = torch.full((len(words),), -torch.inf)

    def update(
        self,
        stems: Float32[np.ndarray, "Q C m"],
        mixture: Float32[np.ndarray, "C m"],
        sample_rate_hz: int,
        *,
        mixture_level_db: float,
        is_last: bool,
    ) -> None:
        """Add the next samples of all stems and of the mixture; its level and the rate are the same in every call."""
        if self._resampler is None:
            num_sounds = len(self._stems) + 1
            self._resampler = StreamedResampler(
                from_hz=sample_rate_hz, to_hz=SIGNAL.sample_rate_hz, num_channels=num_sounds, name="the stems"
            )
            self._downmixes = [Downmix(sample_rate_hz, len(mixture)) for _ in range(num_sounds)]
        sounds = [*(stems[stem] for stem in self._stems), mixture]
        mono = np.stack([mix.push(sound) for mix, sound in zip(self._downmixes, sounds, strict=True)])
        mono *= gain_between(mixture_level_db, LEVEL_DB)
        self._append(self._resampler.push(mono))
        if is_last:
            self._append(self._resampler.finish())
            self._hear()

    def values(self) -> dict[int, dict[str, float]]:
        """Return the features of each query in words, by its number; nothing before anything was heard."""
        if self._num_steps == 0:
            return {}
        whole = torch.as_tensor(self._sum / self._num_steps)
        mixture = whole[-1:].expand(len(self._queries), -1)
        stem, mixed = (self._evidence(heard[:, None])[:, 0] for heard in (whole[:-1], mixture))
        rows = zip(stem.tolist(), self._largest.tolist(), mixed.tolist(), strict=True)
        named = (dict(zip(EVIDENCE_NAMES, row, strict=True)) for row in rows)
        return dict(zip(self._queries, named, strict=True))

    def _append(self, samples: Float32[np.ndarray, "sounds n"]) -> None:
        """Fill the portion, and hear it whenever it is full."""
        while samples.shape[1]:
            fitting = samples[:, : PORTION_SAMPLES - self._num_waiting]
            self._portion[:, self._num_waiting : self._num_waiting + fitting.shape[1]] = fitting
            self._num_waiting += fitting.shape[1]
            samples = samples[:, fitting.shape[1] :]
            if self._num_waiting == PORTION_SAMPLES:
                self._hear()

    def _hear(self) -> None:
        """Add the steps of the samples that wait, one stem at a time, the mixture last."""
        portion, self._num_waiting = torch.from_numpy(self._portion[:, : self._num_waiting]), 0
        if not portion.shape[1]:
            return
        steps = torch.cat([self._tower.embed_portion(sound[None]) for sound in portion])
        self._sum = self._sum + steps.sum(dim=1)
        self._num_steps += steps.shape[1]
        windows = torch.stack([window.mean(dim=1) for window in torch.split(steps[:-1], _WINDOW_STEPS, dim=1)], dim=1)
        self._largest = torch.maximum(self._largest, self._evidence(windows).amax(dim=1))

    def _evidence(self, embeddings: Float[Tensor, "W N E"]) -> Float[Tensor, "W N"]:
        """Compute the evidence that embeddings of each stem hold for its words."""
        logits = self._tower.classify(embeddings)
        return (logits * self._weights[:, None]).sum(dim=-1) - self._usual[:, None]


def stem_evidence(
    encoder: SharedEncoder, queries: Sequence[Query], groups: Sequence[Sequence[int]]
) -> StemEvidence | None:
    """What will listen to the stems of the queries in words; None where there are none, or the encoder has no tower.

    Each of the `groups` of queries has one stem, in which all of its words are listened for.
    """
    tower: AudioTower | None = getattr(encoder, "sounds", None)
    words = {
        number: (stem, encode_query_text(encoder, text, ground=False))
        for stem, group in enumerate(groups)
        for number in group
        if (text := queries[number].text) is not None
    }
    return None if tower is None or not words else StemEvidence(tower, words)
