"""BERT: a tiny one with drawn weights, saved by transformers, as the encoder of words that BERTSep is trained with and
asked through.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from training_stores import make_store, write_labels

import trisep
from trisep.encoders import SharedEncoder, load_encoder
from trisep.errors import CheckpointError, QueryError
from trisep.recipes import recipe
from trisep.training.loop import TrainSettings, train
from trisep.types import Audio, Place, Query

# Importing transformers takes seconds, which nobody should wait for who leaves these tests out.
pytestmark = pytest.mark.slow
WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] a photo of the small low resolution many violin tuba harp ##s".split()


@pytest.fixture(scope="module")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As Google publishes them: with the heads of BERT's own training, which embed nothing."""
    from transformers import BertConfig, BertForPreTraining

    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "max_position_embeddings": 12,
    }
    BertForPreTraining(BertConfig(vocab_size=len(WORDS), **sizes, initializer_range=0.5)).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return folder


def bert(folder: Path) -> SharedEncoder:
    """The encoder of a folder, whatever `TRISEP_BERT` says."""
    from trisep.encoders.bert import Bert

    return Bert(str(folder))


@pytest.fixture
def by_name(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`bert` is the tiny one; what was loaded before or after is another."""
    monkeypatch.setenv("TRISEP_BERT", str(tiny_bert))
    load_encoder.cache_clear()
    yield
    load_encoder.cache_clear()


def test_it_loads_offline_and_embeds_as_its_model_does(
    tiny_bert: Path, by_name: None, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers import BertModel, BertTokenizer

    encoder = load_encoder("bert")
    assert capfd.readouterr() == ("", "")
    assert isinstance(encoder, SharedEncoder)
    assert (encoder.name, encoder.dim, len(encoder.fingerprint)) == ("bert", 16, 16)
    texts = ["a photo of violins", "Tuba", " ".join(["harp"] * 30)]
    embedded = encoder.encode_text(texts)
    model, tokenizer = BertModel.from_pretrained(tiny_bert).eval(), BertTokenizer.from_pretrained(tiny_bert)
    for text, vector in zip(texts, embedded, strict=True):
        tokens = tokenizer(text, return_tensors="pt", truncation=True, max_length=12)
        with torch.no_grad():
            torch.testing.assert_close(vector, model(**tokens).last_hidden_state[0].mean(dim=0), rtol=1e-4, atol=1e-5)
    assert encoder.encode_text([]).shape == (0, 16) and not embedded.requires_grad


def test_the_fingerprint_follows_weights_and_vocabulary(tiny_bert: Path, tmp_path: Path) -> None:
    state = load_file(tiny_bert / "model.safetensors")
    for name, weights, words in (
        ("same", state, WORDS),
        (
            "weights",
            {**state, "bert.embeddings.word_embeddings.weight": state["bert.embeddings.word_embeddings.weight"] + 1},
            WORDS,
        ),
        ("words", state, [*WORDS[:5], *reversed(WORDS[5:])]),
    ):
        (tmp_path / name).mkdir()
        save_file(weights, tmp_path / name / "model.safetensors", metadata={"format": "pt"})
        (tmp_path / name / "config.json").write_bytes((tiny_bert / "config.json").read_bytes())
        (tmp_path / name / "vocab.txt").write_text("\n".join(words) + "\n")
    same, weights, words = (bert(tmp_path / name).fingerprint for name in ("same", "weights", "words"))
    assert same == bert(tiny_bert).fingerprint and len({same, weights, words}) == 3


class Bomb:
    """What a pickle could do to whoever opens it."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return Path.touch, (self.trace,)  # type: ignore[return-value]


def test_a_pickle_is_refused_and_not_opened(tiny_bert: Path, tmp_path: Path) -> None:
    for name in ("config.json", "vocab.txt"):
        (tmp_path / name).write_bytes((tiny_bert / name).read_bytes())
    torch.save(Bomb(tmp_path / "went off"), tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"nothing to load at .*model\.safetensors"):
        bert(tmp_path)
    assert not (tmp_path / "went off").exists()
    torch.load(tmp_path / "pytorch_model.bin", weights_only=False)
    assert (tmp_path / "went off").exists(), "the pickle would not have shown that it was opened"


def test_what_is_no_bert_is_refused(tiny_bert: Path, tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError,
        match="encoder 'bert': nothing to load at .*; run `hf download bert-base-uncased`, or set TRISEP_BERT",
    ):
        bert(tmp_path / "none")
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((tiny_bert / name).read_bytes())
    with pytest.raises(CheckpointError, match="the vocabulary at .* has 5 words, expected 17"):
        bert(tmp_path)
    (tmp_path / "vocab.txt").write_bytes((tiny_bert / "vocab.txt").read_bytes())
    state = load_file(tiny_bert / "model.safetensors")
    save_file(
        {name: value for name, value in state.items() if "layer.1" not in name},
        tmp_path / "model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(CheckpointError, match=r"is not BERT, it lacks encoder\.layer\.1\.attention\S+ and 15 more"):
        bert(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(CheckpointError, match="nothing to load at"):
        bert(tmp_path)


def test_bertsep_trains_and_is_asked_in_words(by_name: None, tmp_path: Path) -> None:
    store = make_store(tmp_path)
    tiny = recipe("clipsep-bertsep").tiny()
    tiny = replace(tiny, model=replace(tiny.model, embedding_dim=16))  # type: ignore[type-var]
    settings = TrainSettings(
        data=store, out=tmp_path / "run", labels=write_labels(store, tmp_path / "labels.csv"), cpu=True, num_workers=0
    )
    model = train(tiny, settings)
    card = json.loads((model / "config.json").read_text())
    assert (card["encoder"], card["encoder_fingerprint"], card["step"]) == ("bert", load_encoder("bert").fingerprint, 2)
    separator = trisep.load(model, device="cpu")
    sound = Audio(np.random.default_rng(0).normal(0, 0.1, (1, 9000)).astype(np.float32), 16000)
    assert list(separator.separate(sound, ["violin", "tuba"]).stems) == ["violin", "tuba"]
    with pytest.raises(QueryError, match="'bert' embeds text only and cannot embed a picture; give a query in words"):
        separator.separate(sound, [Query("photo", image=np.zeros((8, 8, 3), np.uint8))])
    video = next((tmp_path / "videos").rglob("*.mp4"))
    with pytest.raises(QueryError, match="cannot embed a place in a picture; give a query in words"):
        separator.separate(video, [Query("place", place=Place(0.5, 0.5))])
    with pytest.raises(QueryError, match="cannot embed a latent caption"):
        separator.encoder.encode_tokens(torch.zeros(1, 3, 16))
    with pytest.raises(QueryError, match="cannot embed a latent caption"):
        separator.encoder.token_word(5)
