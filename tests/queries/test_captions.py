"""Latent captions: the search against a linear encoder whose answer is known."""

from dataclasses import replace

import pytest
import torch
from linear_text import LinearText
from safetensors.torch import save_file
from tiny_clip import save_vocabulary, tiny_state

from trisep.encoders.clip import CLIPEncoder
from trisep.errors import ConfigError
from trisep.queries.captions import CaptionSettings, find_captions, nearest_starts, nearest_words, sample_words

PATIENT = CaptionSettings(max_iterations=120, min_rise=-1.0, num_words=16, learning_rate=0.2)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> CLIPEncoder:
    folder = tmp_path_factory.mktemp("clip")
    save_file(tiny_state("vit"), folder / "model.safetensors")
    save_vocabulary(folder, "merges")
    return CLIPEncoder(folder)


def _pictures(num: int, dim: int = 3) -> torch.Tensor:
    return torch.randn(num, dim, generator=torch.Generator().manual_seed(8))


@pytest.mark.parametrize(("rank", "num_tokens"), [(3, 1), (2, 3), (1, 4)])
def test_a_linear_encoder_gives_the_projection_on_its_range(rank: int, num_tokens: int) -> None:
    encoder, pictures = LinearText(rank=rank), 7.0 * _pictures(6)
    found = find_captions(encoder, pictures, replace(PATIENT, num_tokens=num_tokens))
    torch.testing.assert_close(found.cosines, encoder.best_cosines(pictures), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.captions.norm(dim=1), torch.ones(6))
    torch.testing.assert_close(found.cosines, torch.nn.functional.cosine_similarity(found.captions, pictures))
    assert found.tokens.shape == (6, num_tokens, 6)
    again = torch.nn.functional.normalize(encoder.encode_tokens(found.tokens), dim=1)
    torch.testing.assert_close(found.captions, again)


def test_a_caption_does_not_depend_on_its_batch_or_place(clip: CLIPEncoder) -> None:
    settings = CaptionSettings(max_iterations=12, num_words=32)
    pictures = _pictures(4, 24)
    together = find_captions(clip, pictures, settings)
    backwards = find_captions(clip, pictures.flip(0), settings)
    torch.testing.assert_close(backwards.captions.flip(0), together.captions, atol=1e-3, rtol=0)
    for row in (0, 3):
        alone = find_captions(clip, pictures[row : row + 1], settings)
        assert alone.num_iterations == together.num_iterations[row]
        torch.testing.assert_close(alone.captions[0], together.captions[row], atol=1e-3, rtol=0)
    assert torch.equal(find_captions(clip, pictures, settings).captions, together.captions)


def test_the_search_rises_above_its_start_and_the_seed_counts(clip: CLIPEncoder) -> None:
    settings, pictures = CaptionSettings(max_iterations=25, num_words=32), _pictures(5, 24)
    found = find_captions(clip, pictures, settings)
    start = nearest_starts(torch.nn.functional.normalize(pictures, dim=1), sample_words(clip, settings), 3)
    before = torch.nn.functional.cosine_similarity(clip.encode_tokens(start), pictures).detach()
    assert (found.cosines > before + 0.1).all()
    other = find_captions(clip, pictures, replace(settings, seed=1))
    assert not torch.allclose(other.tokens, found.tokens, atol=0.1)


def test_the_start_is_the_words_that_say_the_picture_best() -> None:
    encoder = LinearText()
    settings = CaptionSettings(num_words=9, num_tokens=2)
    words, pictures = sample_words(encoder, settings), _pictures(4)
    starts = nearest_starts(torch.nn.functional.normalize(pictures, dim=1), words, 2)
    for picture, start in zip(pictures, starts, strict=True):
        cosines = torch.tensor(
            [torch.nn.functional.cosine_similarity(word @ encoder.weight, picture, dim=0) for word in words.tokens]
        )
        torch.testing.assert_close(start, words.tokens[cosines.argsort(descending=True)[:2]])
    assert all((encoder.token_table == word).all(dim=1).any() for word in words.tokens)
    assert len(sample_words(encoder, replace(settings, num_words=10**6)).tokens) == 40


def test_what_no_longer_rises_leaves_the_batch() -> None:
    encoder, done = LinearText(), []
    # The first picture is a word already, so that its cosine is 1 from the start with one token; the others must rise.
    settings = CaptionSettings(num_tokens=1, num_words=3, window_iterations=4, min_rise=1e-4, learning_rate=0.05)
    words = sample_words(encoder, settings)
    pictures = torch.stack([words.embeddings[1], *_pictures(3)])
    encoder.num_rows.clear()
    found = find_captions(encoder, pictures, settings, words=words, on_done=done.append)
    assert found.num_iterations[0] == 8 and (found.num_iterations % 4 == 0).all()
    assert encoder.num_rows[:8] == [4] * 8 and encoder.num_rows[8] == 3
    assert len(encoder.num_rows) == found.num_iterations.max() < settings.max_iterations
    assert sum(done) == 4
    torch.testing.assert_close(found.cosines, torch.ones(4), atol=0.02, rtol=0)


def test_the_number_of_iterations_is_a_limit() -> None:
    encoder = LinearText()
    settings = CaptionSettings(max_iterations=7, min_rise=-1.0, num_words=16)
    words = sample_words(encoder, settings)
    encoder.num_rows.clear()
    assert find_captions(encoder, _pictures(2), settings, words=words).num_iterations.tolist() == [7, 7]
    assert encoder.num_rows == [2] * 7


def test_nearest_words_are_those_of_the_table(clip: CLIPEncoder) -> None:
    assert nearest_words(LinearText(), 5 * LinearText().token_table[torch.tensor([[7, 30], [0, 39]])]) == [
        ["word7", "word30"],
        ["word0", "word39"],
    ]
    ids = clip.tokenizer.encode(["photo cat of"], 77)[0, 1:4]
    assert nearest_words(clip, clip.token_table[ids].unsqueeze(0)) == [["photo", "cat", "of"]]


@pytest.mark.parametrize("num_tokens", [0, 5])
def test_the_number_of_tokens_is_1_to_4(num_tokens: int) -> None:
    with pytest.raises(ConfigError, match=f"1 to 4 tokens, got {num_tokens}"):
        CaptionSettings(num_tokens=num_tokens)


@pytest.mark.parametrize(
    "change", [{"max_iterations": 0}, {"window_iterations": 0}, {"learning_rate": 0.0}, {"num_words": 2}]
)
def test_a_search_that_cannot_begin_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="must be above 0"):
        replace(CaptionSettings(), **change)
