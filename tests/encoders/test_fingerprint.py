"""The fingerprint of a frozen network, and the encoder of models that need none."""

import hashlib

import numpy as np
import pytest
import torch

from trisep.encoders import NO_ENCODER, SharedEncoder, load_encoder
from trisep.encoders.fingerprint import weights_fingerprint
from trisep.encoders.none import NoEncoder
from trisep.errors import QueryError

STATE = {"b": torch.tensor([1, 2], dtype=torch.int16), "a": torch.tensor([0.5])}


def test_the_fingerprint_by_hand() -> None:
    # Little-endian: 0.5 is 0x3f000000; 1 and 2 in two bytes each. In the order of names.
    expected = hashlib.sha256(b"wordsa\x00\x00\x00\x3fb\x01\x00\x02\x00").hexdigest()[:16]
    assert weights_fingerprint(STATE, "words") == expected
    assert weights_fingerprint(dict(reversed(STATE.items())), "words") == expected


def test_the_fingerprint_follows_names_values_and_what_lies_beside() -> None:
    others = [STATE | {"a": torch.tensor([0.25])}, {"b": STATE["b"], "c": STATE["a"]}, {"b": STATE["b"]}]
    found = {weights_fingerprint(STATE), weights_fingerprint(STATE, "x"), *map(weights_fingerprint, others)}
    assert len(found) == 5
    wide = torch.arange(6).reshape(2, 3).T
    assert weights_fingerprint({"a": wide}) == weights_fingerprint({"a": wide.contiguous()})


def test_no_encoder_embeds_nothing() -> None:
    encoder = NoEncoder()
    assert isinstance(encoder, SharedEncoder)
    assert (encoder.name, encoder.dim, encoder.fingerprint) == (NO_ENCODER, 0, "")
    assert isinstance(load_encoder(NO_ENCODER), NoEncoder)
    picture = np.zeros((2, 2, 3), np.uint8)
    for ask in (
        lambda: encoder.encode_text(["dog"]),
        lambda: encoder.encode_image([picture]),
        lambda: encoder.encode_regions([picture]),
        lambda: encoder.encode_tokens(torch.zeros(1, 1, 1)),
        lambda: encoder.token_word(0),
    ):
        with pytest.raises(QueryError, match="without an embedding space .*choose another --model"):
            ask()
