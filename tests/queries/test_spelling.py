"""Words by how their letters follow each other: keyboard strings are told from rare words."""

import math

import pytest

from trisep.encoders.lite import LiteEncoder
from trisep.queries.spelling import Spelling

RARE = (
    "castanets djembe didgeridoo theremin ukulele vuvuzela bouzouki balalaika charango cajon kalimba mbira zither "
    "dulcimer hurdy-gurdy harpsichord glockenspiel bandoneon concertina melodica kazoo ocarina shawm crumhorn "
    "sousaphone euphonium flugelhorn erhu guzheng pipa shamisen koto shakuhachi sitar tabla tanpura sarangi oud qanun "
    "darbuka riq berimbau cuica agogo guiro cabasa vibraslap maracas timbales gamelan angklung steelpan kookaburra "
    "cicada katydid nightjar yodeling ululation muezzin nyckelharpa"
)


@pytest.fixture(scope="module")
def spelling() -> Spelling:
    return Spelling(LiteEncoder().vocabulary)


def test_a_letter_counts_as_often_as_it_follows_the_two_before_it() -> None:
    spelling = Spelling({"aba", "abba", "##zzz", "ab", "naïve"})
    # ^^aba$ and ^^abba$: six pairs, seven letters and ends; each estimate leans on the one from one letter less.
    pairs = {"^a": (2, 2), "ab": (2, 4), "ba": (2, 3), "a$": (2, 4)}
    triples = {"^^a": (2, 2), "^ab": (2, 2), "aba": (1, 2), "ba$": (2, 2)}
    expected = []
    for triple, (count, before) in triples.items():
        pair_count, pair_before = pairs[triple[1:]]
        pair = (pair_count + 0.1) / (pair_before + 2.7)
        expected.append(math.log2((count + 3 * pair) / (before + 3)))
    assert spelling.score("aba") == pytest.approx(sum(expected) / 4)
    assert spelling.score("aba") > spelling.score("bab") > spelling.score("zzz")


@pytest.mark.parametrize("text", ["zzzqqq", "zxcvbnm", "asdfghjkl", "a HJKL b", "cbmxmxnbm", "dog wzlcktdps"])
def test_what_is_struck_at_random_is_nonsense(spelling: Spelling, text: str) -> None:
    assert spelling.is_nonsense(text)


@pytest.mark.parametrize(
    "text",
    ["chainsaw revving", "shhhhhh", "bzzz", "dtv", "HVAC", "rhythm", "скрипка", "小提琴", "3d", "", *RARE.split()],
)
def test_rare_words_sounds_and_what_cannot_be_judged_are_not(spelling: Spelling, text: str) -> None:
    assert not spelling.is_nonsense(text)
