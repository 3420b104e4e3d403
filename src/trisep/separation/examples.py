"""A sound as a query: which words the separator itself hears in it, and the vector of these words.

A hundred words for common sounds are asked of the example, each alone. The vectors of the three that take most of its
energy are averaged with these parts as weights. So any model that answers words answers an example;
nothing but the separator has heard either. This is ours.
"""

import math
from collections.abc import Hashable, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from trisep.encoders import SharedEncoder, encode_query_text
from trisep.errors import QueryError
from trisep.media.heard import heard
from trisep.separation.source import Source, mono_section, open_source
from trisep.types import Query

LONGEST_SECONDS = 8.0
"""How much of an example is listened to, from its beginning."""
_NUM_WORDS = 3


@lru_cache(maxsize=1)
def sound_words() -> tuple[str, ...]:
    """Return the words for common sounds that an example is compared with."""
    text = (files("trisep.queries") / "sound_words.txt").read_text(encoding="utf-8")
    return tuple(text.split("\n")[:-1])


def example_of(
    query: Query, source: Source, sample_rate_hz: int, *, start_seconds: float = 0.0
) -> Float32[np.ndarray, "S"]:
    """Return the mono example of a query that is a sound, or a span of `source`, which begins at `start_seconds`.

    Raises QueryError when there is nothing in it, MediaError when a file cannot be read.
    """
    begin, end = query.span or (0.0, math.inf)
    if query.sound is not None:
        source, start_seconds = open_source(query.sound), 0.0
    begin, end = max(0.0, begin - start_seconds), min(end, begin + LONGEST_SECONDS) - start_seconds
    sound = mono_section(source, sample_rate_hz, begin=begin, end=end) if end > 0 else np.zeros(0, np.float32)
    if len(sound) == 0 or not math.isfinite(heard(sound, sample_rate_hz)[1]):
        raise QueryError(f"query '{query.name}': holds no sound or only silence; choose another sound or span")
    return sound


@lru_cache(maxsize=4)
def _vectors(encoder: Hashable) -> Float[Tensor, "n D"]:
    """Compute `word_vectors` once for each encoder."""
    return torch.stack([encode_query_text(cast(SharedEncoder, encoder), word) for word in sound_words()]).float()


def word_vectors(encoder: SharedEncoder) -> Float[Tensor, "n D"]:
    """Return the query vectors of `sound_words` in a space; they are computed once."""
    found: Tensor = _vectors(cast(Hashable, encoder))
    return found


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
