"""Sounds named in other languages."""

from importlib import resources

import pytest
import torch

from trisep.encoders import encode_query_text, load_encoder
from trisep.encoders.foreign_words import in_english


@pytest.mark.parametrize(
    ("text", "english"),
    [
        ("Geige", "violin"),
        ("die  GEIGE", "violin"),
        ("l’orgue", "organ"),
        ("Straßenlärm", "traffic"),
        ("собака", "dog barking"),
        ("雨の音", "rain"),
        ("a violin", "a violin"),
        ("Wind", "wind"),
        ("the wind in Geige", "the wind in Geige"),
        ("", ""),
    ],
)
def test_a_sound_in_another_language_is_its_english_name(text: str, english: str) -> None:
    assert in_english(text) == english


def test_no_word_stands_for_two_sounds_and_no_english_name_for_another() -> None:
    table = (resources.files("trisep.encoders") / "foreign_words.tsv").read_text(encoding="utf-8").splitlines()
    assert table[0].split("\t") == ["english", "de", "fr", "es", "it", "pt", "nl", "pl", "ru", "zh", "ja"]
    rows = [line.split("\t") for line in table[1:]]
    names = {row[0] for row in rows}
    meanings: dict[str, str] = {}
    for english, *cells in rows:
        assert len(cells) == 10, english
        for word in (word.casefold() for cell in cells for word in cell.split("|") if word):
            assert meanings.setdefault(word, english) == english, word
            assert word == english or word not in names, word
    assert all(in_english(name) == name for name in names)


def test_a_query_in_another_language_has_the_vector_of_the_english_one() -> None:
    encoder = load_encoder("lite")
    assert torch.equal(encode_query_text(encoder, "Trompete"), encode_query_text(encoder, "trumpet"))
