"""Encoders by name, and words through their templates."""

import pytest
import torch
from clip_folders import MeanColour

from trisep.encoders import ENCODER_NAMES, QUERY_TEMPLATES, encode_query_text, load_encoder
from trisep.errors import CheckpointError


class Lengths(MeanColour):
    """Embeds a text as (number of letters, 1, 0)."""

    def encode_text(self, texts: object) -> torch.Tensor:
        return torch.tensor([[float(len(text)), 1.0, 0.0] for text in texts])  # type: ignore[attr-defined]


def test_an_encoder_is_loaded_once_and_an_unknown_one_refused() -> None:
    assert load_encoder("lite") is load_encoder("lite")
    assert (load_encoder("lite").name, load_encoder("lite").dim) == ("lite", 384)
    assert "lite" in ENCODER_NAMES
    with pytest.raises(CheckpointError, match="unknown encoder 'light': expected one of lite"):
        load_encoder("light")


def test_a_query_in_words_is_the_mean_of_its_templates_raw_however_unequal_their_norms() -> None:
    # "a photo of dog", "a photo of the small dog", "a low resolution photo of a dog", "a photo of many dog"
    torch.testing.assert_close(encode_query_text(Lengths(), "dog"), torch.tensor([(14 + 24 + 31 + 19) / 4, 1.0, 0.0]))
    alone = encode_query_text(Lengths(), "dog", ("{}",))
    torch.testing.assert_close(alone, torch.tensor([3.0, 1.0, 0.0]))


class Grounding(Lengths):
    """Grounds every word at (0, 0, 1)."""

    def ground(self, text_embeddings: torch.Tensor) -> torch.Tensor:
        return torch.tensor([0.0, 0.0, 1.0]).expand_as(text_embeddings)


def test_an_encoder_that_grounds_words_does_so_last_whatever_the_number_of_templates() -> None:
    for templates in (("{}",), QUERY_TEMPLATES):
        assert encode_query_text(Grounding(), "dog", templates).tolist() == [0.0, 0.0, 1.0]
        assert torch.equal(
            encode_query_text(Grounding(), "dog", templates, ground=False),
            encode_query_text(Lengths(), "dog", templates),
        )


def test_words_are_embedded_once_and_what_is_given_out_is_the_callers_own() -> None:
    class Counting(Lengths):
        calls = 0

        def encode_text(self, texts: object) -> torch.Tensor:
            self.calls += 1
            return super().encode_text(texts)

    encoder = Counting()
    first = encode_query_text(encoder, "dog")
    expected = first.clone()
    first.zero_()
    assert torch.equal(encode_query_text(encoder, "dog", ground=False), expected) and encoder.calls == 1
    assert not torch.equal(encode_query_text(encoder, "dog", ("{}",)), expected) and encoder.calls == 2
    other = Counting()
    assert torch.equal(encode_query_text(other, "dog"), expected) and other.calls == 1
