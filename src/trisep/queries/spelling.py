"""Whether a word is spelt as words are: how well its letters follow each other, by the words that an encoder knows.

What is typed at random on a keyboard falls into word pieces that mean something, so that its embedding may lie near a
class. But its letters follow each other as those of no word. The measure is the mean logarithm of the probability of a
letter after the two before it, counted over the words of the encoder's own vocabulary (a Markov chain of letters,
Shannon 1948), and needs no list of words besides. The bound is ours: of 2 700 words of labels, wordings and classes the
least has −7.0, two thirds of random keyboard strings have less than the bound. This file knows no encoder.
"""

import math
import re
from collections import Counter
from collections.abc import Collection

LEAST_LETTERS = -8.5
"""Mean log₂ probability of the letters below which a word is none."""
_WORD = re.compile(r"[^\W\d_]+")
_COUNTED, _LETTERS = re.compile(r"[a-z]{3,}"), re.compile(r"[a-z]{4,}")
_REPEATED = re.compile(r"(.)\1{2,}")
_PAIR_WEIGHT, _LETTER_WEIGHT = 3.0, 0.1
"""How many occurrences the estimate from one letter less counts as."""
_NUM_SYMBOLS = 27
"""The letters and the end of a word."""


class Spelling:
    """How letters follow each other in the words of a vocabulary."""

    def __init__(self, vocabulary: Collection[str]) -> None:
        """Count its words of three letters and more; pieces of words do not count."""
        self._vocabulary = frozenset(vocabulary)
        self._pairs: Counter[str] = Counter()
        marked = "".join(f"^^{word}$" for word in self._vocabulary if _COUNTED.fullmatch(word))
        found = Counter(map("".join, zip(marked, marked[1:], marked[2:], strict=False)))
        self._triples = Counter({triple: count for triple, count in found.items() if "$" not in triple[:2]})
        for triple, count in self._triples.items():
            self._pairs[triple[1:]] += count
        self._before_two, self._before_one = _sums(self._triples), _sums(self._pairs)

    def score(self, word: str) -> float:
        """Return the mean log₂ probability of the letters of a word in lower case, and of its end."""
        marked = f"^^{word}$"
        return sum(map(self._log_probability, zip(marked, marked[1:], marked[2:], strict=False))) / (len(word) + 1)

    def is_nonsense(self, text: str) -> bool:
        """Return whether a word of a text is spelt as no word is.

        Words of the vocabulary are words. Those of fewer than four letters, a letter that is repeated (shhh) counted
        twice at most, and those with other letters than a to z are not judged.
        """
        words = (word.lower() for word in _WORD.findall(text))
        judged = {_REPEATED.sub(r"\1\1", word) for word in words if word not in self._vocabulary}
        return any(_LETTERS.fullmatch(word) and self.score(word) < LEAST_LETTERS for word in judged)

    def _log_probability(self, letters: tuple[str, str, str]) -> float:
        """Return log₂ of the probability of a letter after two others."""
        first, second, third = letters
        pair = self._pairs[second + third] + _LETTER_WEIGHT
        pair /= self._before_one[second] + _LETTER_WEIGHT * _NUM_SYMBOLS
        triple = self._triples[first + second + third] + _PAIR_WEIGHT * pair
        return math.log2(triple / (self._before_two[first + second] + _PAIR_WEIGHT))


def _sums(counts: Counter[str]) -> Counter[str]:
    """Count what stands before the last letter."""
    sums: Counter[str] = Counter()
    for letters, count in counts.items():
        sums[letters[:-1]] += count
    return sums
