"""A sound as a query: which words the separator itself hears in it, and the vector of these words.

Of a hundred words for common sounds, those for which the audio tower finds most evidence are asked of the example, each
alone. Those that take most of its energy are asked of the mixture, too, and their stems are heard: the stem should be
like the example, and what is left should not. The vectors of the best five are averaged, weighted by how well they do.
Where the encoder does not hear, the three words that take most of the example's energy are averaged. So any
model that answers words answers an example; nothing but the separator and the tower has heard either. This is ours
(docs/experiments/2026-11-30-words-tried-on-the-mixture.md).
"""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from trisep.encoders import GroundedEncoder, HearingEncoder, SharedEncoder, encode_query_text
from trisep.encoders.audio_tower import LEVEL_DB, PORTION_SAMPLES, SIGNAL
from trisep.encoders.resample import resample
from trisep.errors import QueryError
from trisep.media.heard import heard
from trisep.media.level import gain_to
from trisep.separation.infer import MaskSegment
from trisep.separation.presence import AudioTower, evidence_weights
from trisep.separation.source import Source, mono_section, open_source
from trisep.spectrogram.masks import apply_masks
from trisep.spectrogram.stft import stft
from trisep.types import Query, SignalSettings

Hear = Callable[[Float32[np.ndarray, "S"], Float[Tensor, "n D"]], MaskSegment]
"""The masks of many vectors for a short sound at the rate of the model."""
LONGEST_SECONDS = 8.0
"""How much of an example is listened to, from its beginning."""
_TRIED_SECONDS = 10.0
"""How much of the mixture words are tried on."""
_SEARCHED_SECONDS = 600.0
"""How far into the mixture the part is looked for that is most like an example."""
_NUM_WORDS = 3
"""How many words are averaged where the encoder does not hear."""
_NUM_LIKELY, _NUM_TRIED, _NUM_BEST = 40, 12, 5
"""How many words are asked of the example, asked of the mixture, and averaged."""
_PART_PER_EVIDENCE = 0.1
_STEM_WEIGHT = 2.0
"""What the likeness of the stem less that of the rest counts beside the part of the example that a word takes."""
_SHARPNESS = 5.0
_NUM_KEPT = 16
"""Of how many examples a separator remembers what it heard in them alone."""


@lru_cache(maxsize=1)
def sound_words() -> tuple[str, ...]:
    """Return the words for common sounds that an example is compared with."""
    text = (files("trisep.queries") / "sound_words.txt").read_text(encoding="utf-8")
    return tuple(text.split("\n")[:-1])


def example_of(
    query: Query, source: Source, sample_rate_hz: int, *, start_seconds: float = 0.0, allow_truncated: bool = False
) -> Float32[np.ndarray, "S"]:
    """Return the mono example of a query that is a sound, or a span of `source`, which begins at `start_seconds`.

    With `allow_truncated`, of a file that cannot be decoded to its end there is as much as can be. Raises QueryError
    when there is nothing in it, MediaError when a file cannot be read.
    """
    begin, end = query.span or (0.0, math.inf)
    if query.sound is not None:
        source, start_seconds = open_source(query.sound, allow_truncated=allow_truncated), 0.0
    begin, end = max(0.0, begin - start_seconds), min(end, begin + LONGEST_SECONDS) - start_seconds
    sound = mono_section(source, sample_rate_hz, begin=begin, end=end) if end > 0 else np.zeros(0, np.float32)
    is_inside = end > 0 and begin * source.sample_rate_hz < source.declared_samples
    if len(sound) == 0 and query.span is not None and not is_inside:
        until = start_seconds + source.declared_samples / source.sample_rate_hz
        raise QueryError(
            f"query '{query.name}': the span {query.span[0]:g}-{query.span[1]:g} s lies outside what is separated of "
            f"{source.title or source.path or 'the sound'}, which begins at {start_seconds:g} s"
            f"{f' and ends at about {until:.6g} s' if source.declared_samples else ''}; choose a span inside"
        )
    if len(sound) == 0:
        raise QueryError(
            f"query '{query.name}': is shorter than a sample at the {sample_rate_hz} Hz that the model hears; choose a "
            "longer sound or span"
        )
    if not math.isfinite(heard(sound, sample_rate_hz)[1]):
        raise QueryError(f"query '{query.name}': holds only silence; choose another sound or span")
    return sound


def span_notes(queries: Sequence[Query], source: Source, start_seconds: float = 0.0) -> list[str]:
    """Say of each span of `source`, which begins at `start_seconds`, what of it is not listened to, if anything."""
    notes = []
    until = start_seconds + source.declared_samples / source.sample_rate_hz if source.declared_samples else math.inf
    for begin, end in (query.span for query in queries if query.span is not None):
        if min(end, until) > begin + LONGEST_SECONDS:
            notes.append(f"of the span {begin:g}-{end:g} s the first {LONGEST_SECONDS:g} s are listened to")
        elif end > until:
            notes.append(f"the span {begin:g}-{end:g} s is listened to up to the end, at about {until:.6g} s")
    return notes


@lru_cache(maxsize=4)
def _vectors(encoder: Hashable) -> Float[Tensor, "n D"]:
    """Embed the words as they are, once for each encoder."""
    shared = cast(SharedEncoder, encoder)
    return torch.stack([encode_query_text(shared, word, ground=False) for word in sound_words()]).float()


def word_vectors(encoder: SharedEncoder) -> Float[Tensor, "n D"]:
    """Return the query vectors of `sound_words` in a space; the words are embedded once."""
    found: Tensor = _vectors(cast(Hashable, encoder))
    return encoder.ground(found).float() if isinstance(encoder, GroundedEncoder) else found


@dataclass(frozen=True, slots=True)
class Candidates:
    """The words that an example alone leaves to be tried on a mixture."""

    vectors: Float[Tensor, "n D"]
    parts: Float[Tensor, "n"]
    """Which part of the example's energy each takes when it is asked alone."""
    example: Float[Tensor, "1 E"]
    """The example as the tower embeds it."""


class Examples:
    """What one separator hears in examples: what depends on an example alone is computed once, also for many sources.

    Args:
        encoder: the space of the vectors; where it has a tower (`sounds`), words are tried on the mixture.
        hear: asks the separator.
        signal: its signal chain.
        is_vector: whether the model learned from sounds in the space of the encoder, so that an example is its vector.
    """

    def __init__(self, encoder: SharedEncoder, hear: Hear, signal: SignalSettings, *, is_vector: bool = False) -> None:
        """Keep what is needed; nothing is heard yet."""
        self._encoder, self._hear, self._signal, self._is_vector = encoder, hear, signal, is_vector
        self._alone = lru_cache(maxsize=_NUM_KEPT)(self._heard_alone)

    @property
    def _tower(self) -> AudioTower | None:
        """The tower, which is loaded when it is first asked for."""
        tower: AudioTower | None = getattr(self._encoder, "sounds", None)
        return tower

    def vector(
        self, query: Query, source: Source, *, start_seconds: float = 0.0, allow_truncated: bool = False
    ) -> Float[Tensor, "D"]:
        """Return the vector that stands for the example of a query to `source`, which begins at `start_seconds`.

        `allow_truncated` is that of `example_of`. Raises what `example_of` raises.
        """
        rate = self._signal.sample_rate_hz
        example = example_of(query, source, rate, start_seconds=start_seconds, allow_truncated=allow_truncated)
        alone = self._alone(example.tobytes())
        if isinstance(alone, Tensor):
            return alone
        tower = self._tower
        assert tower is not None
        mixture = section_tried(query, alone.example, source, tower, rate, start_seconds=start_seconds)
        if len(mixture) == 0:  # a source that is shorter than one sample of the model
            mixture = np.zeros(1, np.float32)
        return vector_tried(alone, mixture, tower, self._hear, self._signal)

    def _heard_alone(self, samples: bytes) -> Candidates | Float[Tensor, "D"]:
        """Return the candidates for an example, or its vector where that does not depend on the mixture."""
        example = np.frombuffer(samples, np.float32).copy()
        if self._is_vector and isinstance(self._encoder, HearingEncoder):
            return self._encoder.encode_audio(torch.from_numpy(example)[None], self._signal.sample_rate_hz)[0]
        if (tower := self._tower) is not None:
            return candidates(example, self._encoder, tower, self._hear, self._signal)
        vectors = word_vectors(self._encoder)
        asked = self._hear(example, vectors)
        return mean_of_most_heard(vectors, parts_taken(asked.masks, asked.magnitude).cpu(), sound_words())[0]


def section_tried(
    query: Query,
    wanted: Float[Tensor, "1 E"],
    source: Source,
    tower: AudioTower,
    sample_rate_hz: int,
    *,
    start_seconds: float = 0.0,
) -> Float32[np.ndarray, "S2"]:
    """Return the part of a source, mono, that words are tried on: about the span, or where it is most like the example,
    which the tower embeds as `wanted`.

    The source begins at `start_seconds`; of a long one, the first ten minutes are searched.
    """
    if query.span is not None:
        middle = (query.span[0] + query.span[1]) / 2 - start_seconds
        length = source.declared_samples / source.sample_rate_hz or math.inf
        begin = max(0.0, min(middle - _TRIED_SECONDS / 2, length - _TRIED_SECONDS))
        return mono_section(source, sample_rate_hz, begin=begin, end=begin + _TRIED_SECONDS)
    sound = mono_section(source, sample_rate_hz, begin=0.0, end=_SEARCHED_SECONDS)
    size = round(_TRIED_SECONDS * sample_rate_hz)
    if len(sound) <= size:
        return sound
    starts = [*range(0, len(sound) - size, size // 2), len(sound) - size]
    parts = torch.cat([_embedded(tower, sound[None, start : start + size], sample_rate_hz) for start in starts])
    start = starts[int(torch.cosine_similarity(parts, wanted).argmax())]
    return sound[start : start + size]


def candidates(
    example: Float32[np.ndarray, "S"], encoder: SharedEncoder, tower: AudioTower, hear: Hear, signal: SignalSettings
) -> Candidates:
    """Return the words that an example alone makes likely: by the tower's evidence, and by what they take of it."""
    vectors, wanted = word_vectors(encoder), _embedded(tower, example[None], signal.sample_rate_hz)
    weights, usual = evidence_weights(tower, _vectors(cast(Hashable, encoder)))
    evidence = weights @ tower.classify(wanted)[0] - usual
    likely = evidence.topk(min(_NUM_LIKELY, len(evidence))).indices
    asked = hear(example, vectors[likely])
    parts = parts_taken(asked.masks.cpu(), asked.magnitude.cpu())
    first = (parts + _PART_PER_EVIDENCE * evidence[likely]).topk(min(_NUM_TRIED, len(parts))).indices
    return Candidates(vectors[likely[first]], parts[first], wanted)


def vector_tried(
    found: Candidates, mixture: Float32[np.ndarray, "S"], tower: AudioTower, hear: Hear, signal: SignalSettings
) -> Float[Tensor, "D"]:
    """Return the mean of the vectors of the words that do best on the example and on the mixture."""
    spectrum = stft(torch.from_numpy(mixture)[None], signal)
    masks = hear(mixture, found.vectors).masks.cpu().float()
    stems = apply_masks(spectrum, masks[None], signal, len(mixture))[0].numpy()
    gain = float(gain_to(mixture, LEVEL_DB))
    likeness, rest = (
        torch.cosine_similarity(_embedded(tower, sounds, signal.sample_rate_hz, gain=gain), found.example)
        for sounds in (stems, mixture - stems)
    )
    best = (found.parts + _STEM_WEIGHT * (likeness - rest)).topk(min(_NUM_BEST, len(found.parts)))
    return torch.softmax(_SHARPNESS * best.values, dim=0) @ found.vectors[best.indices]


def _embedded(
    tower: AudioTower, sounds: Float32[np.ndarray, "B S"], sample_rate_hz: int, *, gain: float | None = None
) -> Float[Tensor, "B E"]:
    """Embed sounds of less than a minute, as the mean over their steps; None brings each to the tower's own level."""
    gains = [float(gain_to(sound, LEVEL_DB)) if gain is None else gain for sound in sounds]
    levelled = torch.from_numpy(np.ascontiguousarray(sounds)).float() * torch.tensor(gains)[:, None]
    at_rate = resample(levelled, sample_rate_hz, SIGNAL.sample_rate_hz)[:, :PORTION_SAMPLES]
    return torch.stack([tower.embed_portion(sound[None])[0].mean(dim=0) for sound in at_rate])


def parts_taken(masks: Float[Tensor, "n 256 T"], magnitude: Float[Tensor, "256 T"]) -> Float[Tensor, "n"]:
    """Return which part of a sound's energy each of several queries takes when it is asked alone."""
    power = magnitude.square()
    return (masks * power).sum(dim=(1, 2)) / power.sum().clamp_min(1e-20)


def mean_of_most_heard(
    vectors: Float[Tensor, "n D"], parts: Float[Tensor, "n"], words: Sequence[str]
) -> tuple[Float[Tensor, "D"], tuple[str, ...]]:
    """Return the mean of the vectors with the largest parts, weighted by these, and their words."""
    most = parts.topk(min(_NUM_WORDS, len(parts)))
    weights = most.values / most.values.sum()
    return weights @ vectors[most.indices], tuple(words[index] for index in most.indices.tolist())
