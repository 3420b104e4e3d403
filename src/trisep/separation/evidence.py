"""What an audio tower hears in the stems: how much speaks for the words of each query.

The stems pass through the tower as they are separated, at the gain that brings the mixture to the tower's level. The
evidence for words is the mean of the standardised logits of the three nearest classes, weighted by the softmax of their
cosines (docs/experiments/2026-11-27-audio-tower.md). It is ours.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from trisep.encoders import SharedEncoder, encode_query_text
from trisep.encoders.audio_tower import SIGNAL
from trisep.encoders.sound_classes import LEVEL_DB, PORTION_SAMPLES
from trisep.media.level import gain_between
from trisep.media.resample import StreamedResampler
from trisep.separation.presence import EVIDENCE_NAMES
from trisep.types import Query

_NUM_NEAREST = 3
_TEMPERATURE = 0.02
_WINDOW_STEPS = 4
"""Steps of the tower in about a second; a portion holds a whole number of such windows."""


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


class StemEvidence:
    """Evidence for words, accumulated over the stems as they come.

    `evidence` is that of the mean embedding of a whole stem, `max_evidence` the largest over windows of 1.024 s. The
    tower reads portions of a minute, wherever the segments end; no more of a stem is kept.
    """

    def __init__(self, tower: AudioTower, words: Mapping[int, tuple[int, Float[Tensor, "D"]]]) -> None:
        """`words` are the number of the stem and the text embedding of each query, by the query's number."""
        self._tower = tower
        self._queries = list(words)
        self._stems = [stem for stem, _ in words.values()]
        unit = torch.nn.functional.normalize(torch.stack([vector for _, vector in words.values()]), dim=-1)
        mean, deviation = tower.usual
        cosines, nearest = (unit @ tower.embeddings.T).topk(_NUM_NEAREST, dim=-1)
        shares = torch.softmax(cosines / _TEMPERATURE, dim=-1)
        weights = torch.zeros(len(unit), len(mean)).scatter(1, nearest, shares)
        self._weights, self._usual = weights / deviation, (weights * mean / deviation).sum(dim=-1)
        self._resampler: StreamedResampler | None = None
        self._waiting = np.zeros((len(unit), 0), np.float32)
        self._sum: Tensor | float = 0.0
        self._num_steps = 0
        self._largest = torch.full((len(unit),), -torch.inf)

    def update(
        self, stems: Float32[np.ndarray, "Q C m"], sample_rate_hz: int, *, mixture_level_db: float, is_last: bool
    ) -> None:
        """Add the next samples of all stems; the rate and the level of the mixture are the same in every call."""
        if self._resampler is None:
            self._resampler = StreamedResampler(
                from_hz=sample_rate_hz, to_hz=SIGNAL.sample_rate_hz, num_channels=len(self._stems), name="the stems"
            )
        mono = stems[self._stems].mean(axis=1) * gain_between(mixture_level_db, LEVEL_DB)
        parts = [self._waiting, self._resampler.push(mono), *([self._resampler.finish()] if is_last else [])]
        samples = np.concatenate(parts, axis=1)
        while samples.shape[1] >= PORTION_SAMPLES or (is_last and samples.shape[1]):
            self._hear(torch.from_numpy(np.ascontiguousarray(samples[:, :PORTION_SAMPLES])))
            samples = samples[:, PORTION_SAMPLES:]
        self._waiting = samples.copy()

    def values(self) -> dict[int, dict[str, float]]:
        """Return the features of each query in words, by its number; nothing before anything was heard."""
        if self._num_steps == 0:
            return {}
        whole = self._evidence(torch.as_tensor(self._sum / self._num_steps)[:, None])[:, 0]
        rows = zip(whole.tolist(), self._largest.tolist(), strict=True)
        named = (dict(zip(EVIDENCE_NAMES, row, strict=True)) for row in rows)
        return dict(zip(self._queries, named, strict=True))

    def _hear(self, portion: Float[Tensor, "W n"]) -> None:
        """Add the steps of a portion, one stem at a time."""
        steps = torch.cat([self._tower.embed_portion(stem[None]) for stem in portion])
        self._sum = self._sum + steps.sum(dim=1)
        self._num_steps += steps.shape[1]
        windows = torch.stack([window.mean(dim=1) for window in torch.split(steps, _WINDOW_STEPS, dim=1)], dim=1)
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
