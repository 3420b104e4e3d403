"""Our MiniLM against transformers' BERT: the same states and the same gradients."""

import pytest
import torch
from published_bert import needs_weights, published_bert
from safetensors.torch import load_file

from trisep import pretrained
from trisep.encoders.minilm import MiniLM, load_minilm

pytestmark = needs_weights
LENGTHS = torch.tensor([3, 17, 40, 1])
Pair = tuple[MiniLM, torch.nn.Module, float]


KINDS = [(torch.float32, "sdpa", 1e-6), (torch.float64, "eager", 1e-11)]
"""Numbers, their attention and the largest difference."""


@pytest.fixture(scope="module", params=KINDS, ids=["float32", "float64"])
def pair(request: pytest.FixtureRequest) -> Pair:
    """Ours, theirs and the largest difference: in float32 with the same kernel, in float64 with attention written out.

    States are as large as 6 and gradients as large as 100, so that in float32 no other kernel could be held to 1e-6.
    """
    dtype, attention, largest = request.param
    return load_minilm(pretrained.find("minilm-l6")).to(dtype), published_bert(dtype, attention), largest


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Word pieces of sentences of different lengths, and where they are."""
    ids = torch.randint(1000, 30522, (len(LENGTHS), int(LENGTHS.max())), generator=torch.Generator().manual_seed(0))
    return ids, (torch.arange(ids.shape[1]) < LENGTHS[:, None]).long()


@pytest.mark.slow
def test_the_states_of_padded_sentences_equal_transformers(pair: Pair) -> None:
    network, reference, largest = pair
    ids, mask = batch()
    found, expected = network.from_ids(ids, mask), reference(input_ids=ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(found[mask.bool()], expected[mask.bool()], atol=largest, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("masked", [False, True])
def test_the_states_of_free_vectors_and_their_gradients_equal_transformers(pair: Pair, masked: bool) -> None:
    network, reference, largest = pair
    mask = batch()[1] if masked else None
    seen = batch()[1].bool() if masked else torch.ones_like(batch()[1], dtype=torch.bool)
    generator = torch.Generator().manual_seed(1)
    drawn, weights = torch.randn(2, *seen.shape, 384, generator=generator, dtype=network.word_table.dtype)
    ours, theirs = ((0.05 * drawn).requires_grad_() for _ in range(2))
    found = network.from_embeddings(ours, mask)
    expected = reference(inputs_embeds=theirs, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(found[seen], expected[seen], atol=largest, rtol=0)
    for states in (found, expected):
        (states * weights)[seen].sum().backward()
    assert ours.grad is not None and theirs.grad is not None and theirs.grad.abs().max() > 1
    torch.testing.assert_close(ours.grad, theirs.grad, atol=10 * largest, rtol=0)


def test_word_pieces_are_rows_of_the_published_table() -> None:
    network = load_minilm(pretrained.find("minilm-l6"))
    assert torch.equal(network.word_table, load_file(pretrained.find("minilm-l6"))["embeddings.word_embeddings.weight"])
    ids = batch()[0]
    assert torch.equal(network.from_embeddings(network.word_table[ids]), network.from_ids(ids, torch.ones_like(ids)))


def test_the_network_is_frozen_and_reads_as_many_positions_as_bert() -> None:
    network = load_minilm(pretrained.find("minilm-l6"))
    assert not network.training
    kinds = {(weight.requires_grad, weight.device.type, weight.dtype) for weight in network.parameters()}
    assert kinds == {(False, "cpu", torch.float32)}
    assert network.from_embeddings(torch.zeros(1, 512, 384)).isfinite().all()
    with pytest.raises(RuntimeError, match="512"):
        network.from_embeddings(torch.zeros(1, 513, 384))
