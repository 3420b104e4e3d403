"""Where CLIP's files are looked for, and its tokenizer against transformers'."""

import json
from pathlib import Path

import pytest
from tiny_clip import MERGES, VOCABULARY, save_vocabulary

from trisep.encoders import clip_files
from trisep.encoders.clip_files import find_clip_weights, find_tokenizer
from trisep.encoders.clip_tokenizer import OPENAI_VOCABULARY, CLIPTokenizer, byte_alphabet
from trisep.errors import CheckpointError

TEXTS = ["a photo of a cat", "  A PHOTO\n of the Cat's tail!?", "42 caf\u00e9s: 猫 don't", "", "<|startoftext|>"]


@pytest.fixture(autouse=True)
def bare_machine(tmp_path, monkeypatch):
    """No place named, nothing in the hub's cache, an empty home."""
    monkeypatch.delenv("TRISEP_CLIP", raising=False)
    monkeypatch.setattr(clip_files, "_in_hub_cache", lambda repository, file: None)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["json", "merges", "openai"])
def test_tokenizer_equals_transformers(tmp_path, layout):
    from transformers import CLIPTokenizer as PublishedTokenizer

    save_vocabulary(tmp_path, "merges")
    oracle = PublishedTokenizer(vocab=json.loads((tmp_path / "vocab.json").read_text()), merges=MERGES)
    folder = tmp_path / layout
    folder.mkdir()
    save_vocabulary(folder, layout)
    tokenizer = CLIPTokenizer.load(folder)
    rows = [tokenizer.encode([text], 77)[0].tolist() for text in TEXTS]
    assert rows == [oracle(text)["input_ids"] for text in TEXTS]
    # By hand: "photo", "of" and "cat" are merges 7, 3 and 2; "a" ends a word.
    assert rows[0] == [VOCABULARY - 2, 256 + 64, 512 + 6, 512 + 2, 256 + 64, 512 + 1, VOCABULARY - 1]
    assert tokenizer.encode(["a a a a a"], 4).tolist() == [[VOCABULARY - 2, 320, 320, VOCABULARY - 1]]
    assert tokenizer.decode(512 + 1) == "cat"


@pytest.mark.slow
def test_the_letters_of_bytes_stand_in_the_usual_order():
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    assert byte_alphabet() == list(bytes_to_unicode().values())


def test_no_vocabulary(tmp_path):
    assert CLIPTokenizer.load(tmp_path) is None
    with pytest.raises(
        CheckpointError, match=r"holds no CLIP vocabulary, which text needs; put tokenizer\.json, or vocab\.json"
    ):
        find_tokenizer(tmp_path / "RN50.pt")


def test_damaged_and_foreign_vocabularies(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: is not a tokenizer that can be read"):
        CLIPTokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / OPENAI_VOCABULARY).write_bytes(b"no gzip")
    with pytest.raises(CheckpointError, match="is not a tokenizer that can be read"):
        CLIPTokenizer.load(tmp_path)
    (tmp_path / OPENAI_VOCABULARY).unlink()
    save_vocabulary(tmp_path, "merges")
    vocabulary = json.loads((tmp_path / "vocab.json").read_text())
    (tmp_path / "vocab.json").write_text(json.dumps({**vocabulary, "more": VOCABULARY}))
    with pytest.raises(CheckpointError, match="as its last two tokens"):
        CLIPTokenizer.load(tmp_path)


def test_a_vocabulary_of_clips_size_must_give_clips_tokens(tmp_path):
    save_vocabulary(tmp_path, "merges")
    vocabulary = json.loads((tmp_path / "vocab.json").read_text())
    tokens = [
        *list(vocabulary)[:-2],
        *(f"filler{number}" for number in range(49408 - VOCABULARY)),
        *list(vocabulary)[-2:],
    ]
    (tmp_path / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    with pytest.raises(CheckpointError, match="'a photo of a cat' gives other tokens than the published ones"):
        CLIPTokenizer.load(tmp_path)


def test_vocabulary_in_the_named_place(tmp_path, monkeypatch):
    save_vocabulary(tmp_path, "openai")
    (tmp_path / "weights").mkdir()
    monkeypatch.setenv("TRISEP_CLIP", str(tmp_path))
    assert find_tokenizer(tmp_path / "weights").source == tmp_path / OPENAI_VOCABULARY


def test_named_place(tmp_path, monkeypatch):
    monkeypatch.setenv("TRISEP_CLIP", str(tmp_path))
    with pytest.raises(
        CheckpointError, match=r"holds no weights of 'clip-rn50'; expected clip-rn50/, RN50\.pt or one of"
    ):
        find_clip_weights("clip-rn50")
    (tmp_path / "model.safetensors").touch()
    assert find_clip_weights("clip-rn50") == tmp_path
    (tmp_path / "RN50.pt").touch()
    assert find_clip_weights("clip-rn50") == tmp_path / "RN50.pt"
    (tmp_path / "clip-vit-b32").mkdir()
    assert find_clip_weights("clip-vit-b32") == tmp_path / "clip-vit-b32"
    monkeypatch.setenv("TRISEP_CLIP", str(tmp_path / "RN50.pt"))
    assert find_clip_weights("clip-rn50") == tmp_path / "RN50.pt"
    monkeypatch.setenv("TRISEP_CLIP", str(tmp_path / "absent"))
    with pytest.raises(CheckpointError, match="no such file or folder"):
        find_clip_weights("clip-rn50")


def test_unnamed_places(tmp_path, monkeypatch):
    with pytest.raises(
        CheckpointError, match=r"hf download openai/clip-vit-base-patch32`, or set TRISEP_CLIP to OpenAI's ViT-B-32\.pt"
    ):
        find_clip_weights("clip-vit-b32")
    own = tmp_path / "home" / ".cache" / "clip" / "ViT-B-32.pt"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"altered")
    with pytest.raises(CheckpointError, match=r"ViT-B-32\.pt: expected sha256 40d365715913…, got "):
        find_clip_weights("clip-vit-b32")
    cached = {("openai/clip-vit-base-patch32", "pytorch_model.bin"): tmp_path / "pytorch_model.bin"}
    monkeypatch.setattr(clip_files, "_in_hub_cache", lambda repository, file: cached.get((repository, file)))
    assert find_clip_weights("clip-vit-b32") == tmp_path / "pytorch_model.bin"


def test_hub_cache_is_read_without_a_network(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.undo()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--openai--clip-vit-base-patch32"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    snapshot = repository / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    save_vocabulary(snapshot, "merges")
    (snapshot / "model.safetensors").touch()
    assert find_clip_weights("clip-vit-b32") == snapshot / "model.safetensors"
    assert find_tokenizer(tmp_path).source == snapshot / "vocab.json"
