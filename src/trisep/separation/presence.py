"""Is the query heard at all? Features of its masks, gathered while streaming, and a logistic function of them.

A mask network answers every query with some mask; whether the query is really in the sound shows in how sure that mask
is and how much it takes. The weights are fitted on clips whose content is known and travel in the checkpoint's card
under `presence`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from trisep.checkpoints.format import from_dict
from trisep.errors import CheckpointError

FEATURE_NAMES = ("level_ratio_db", "mean_logit", "share_above_half", "max_activity_db", "mask_percentile_95")
"""What `PresenceFeatures.values` returns; `relative_` before a name is that value minus its mean over reference
queries.
"""
_FLOOR_DB = -80.0
_NUM_HISTOGRAM_BINS = 64
_WINDOW_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class PresenceCalibration:
    """Weights of the logistic function."""

    features: tuple[str, ...] = ("level_ratio_db",)
    weights: tuple[float, ...] = (0.35,)
    bias: float = 4.2
    """With the defaults, which serve models without a calibration: 0.5 where the stem is 12 dB below the mixture."""
    threshold: float = 0.5
    """Below it a query counts as absent."""
    reference_queries: tuple[str, ...] = ()
    """Words asked alongside, that `relative_…` features compare with."""

    def __post_init__(self) -> None:
        """Check names and lengths."""
        unknown = [name for name in self.features if name.removeprefix("relative_") not in FEATURE_NAMES]
        if unknown or len(self.features) != len(self.weights) or not 0 <= self.threshold <= 1:
            raise CheckpointError(
                f"presence: {len(self.weights)} weights for {len(self.features)} features, unknown: "
                f"{', '.join(unknown) or 'none'}"
            )
        if any(name.startswith("relative_") for name in self.features) and not self.reference_queries:
            raise CheckpointError("presence: features are relative to reference queries, and there are none")


def read_calibration(card: Mapping[str, Any]) -> PresenceCalibration:
    """The calibration in a checkpoint's card, or the default without one."""
    try:
        calibration: PresenceCalibration = from_dict(PresenceCalibration, card.get("presence") or {})
    except TypeError as error:
        raise CheckpointError(f"presence in config.json is not a calibration this version reads ({error})") from error
    return calibration


def presence(features: Mapping[str, float], calibration: PresenceCalibration) -> float:
    """`sigmoid(w · features + b)`, in [0, 1]."""
    total = calibration.bias
    total += sum(
        weight * features[name] for name, weight in zip(calibration.features, calibration.weights, strict=True)
    )
    return 0.5 * (1.0 + math.tanh(0.5 * total))


def with_relative(features: Mapping[str, float], references: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The features, and each one's difference from its mean over the reference queries."""
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
    """Gathers, per query, over a whole sound. Everything is weighted by the mixture's magnitude on the model's grid.

    `level_ratio_db`: masked energy over energy. `mean_logit`. `share_above_half`: share of magnitude where the mask
    exceeds 0.5.
    `max_activity_db`: the largest ratio of masked energy to energy in half a second; a quiet half second counts less,
    since a twentieth of the mean energy is added below the line. `mask_percentile_95`: the mask that 95 % of the
    magnitude stay below, in steps of 1/64. Memory grows by one number per query and half second.
    """

    def __init__(self, num_queries: int, *, hop_seconds: float) -> None:
        """`hop_seconds` is the time from one frame to the next."""
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
        """Add the next n frames. Without logits they are computed from the masks, within ±12."""
        if masks.shape[-1] == 0:
            return
        # Some devices have no float64, which sums over hours need.
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
        """The features of each query, by name. Of silence: the floor of −80 dB, and zeros."""
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
        """Sum energies [1 + Q, n] into windows of half a second, across calls."""
        window_of = (self._num_frames + np.arange(rows.shape[1])) // self._window_frames
        for window in range(int(window_of[0]), int(window_of[-1]) + 1):
            energy = rows[:, window_of == window].sum(axis=1)
            if window < len(self._windows):
                self._windows[window] = self._windows[window] + energy
            else:
                self._windows.append(energy)
        self._num_frames += rows.shape[1]


def _decibels(ratio: np.ndarray) -> np.ndarray:
    """10 log10, not below the floor."""
    values: np.ndarray = 10 * np.log10(np.maximum(ratio, 10 ** (_FLOOR_DB / 10)))
    return values
