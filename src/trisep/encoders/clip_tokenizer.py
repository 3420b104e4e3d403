"""CLIP's byte-pair tokenizer: text to token ids. The vocabulary is not part of this package.

It is read from a folder of the user that holds Hugging Face's `tokenizer.json`, or its `vocab.json` and `merges.txt`,
or OpenAI's `bpe_simple_vocab_16e6.txt.gz`. Deviation from OpenAI's code: text is not repaired by ftfy and HTML entities
stay as they are. This file knows no weights.
"""

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from jaxtyping import Int
from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE
from torch import Tensor

from trisep.errors import CheckpointError

START, END = "<|startoftext|>", "<|endoftext|>"
OPENAI_VOCABULARY = "bpe_simple_vocab_16e6.txt.gz"

_WORDS = r"""<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""
_OPENAI_SIZE = 49408
_PROBE, _PROBE_IDS = "a photo of a cat", [320, 1125, 539, 320, 2368]


class CLIPTokenizer:
    """Converts sentences to ids, start and end tokens included."""

    def __init__(self, tokenizer: Tokenizer, source: Path) -> None:
        """Wrap a tokenizer; CheckpointError when it is not CLIP's."""
        start, end = tokenizer.token_to_id(START), tokenizer.token_to_id(END)
        self.size: int = tokenizer.get_vocab_size(with_added_tokens=True)
        if start is None or end is None or (start, end) != (self.size - 2, self.size - 1):
            raise CheckpointError(
                f"{source}: is not CLIP's vocabulary; expected {START} and {END} as its last two tokens"
            )
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.start_id, self.end_id = start, end
        self.source = source
        self._tokenizer = tokenizer
        if self.size == _OPENAI_SIZE and self._ids([_PROBE])[0] != _PROBE_IDS:
            raise CheckpointError(
                f"{source}: is not CLIP's vocabulary; '{_PROBE}' gives other tokens than the published ones"
            )

    @classmethod
    def load(cls, folder: Path) -> "CLIPTokenizer | None":
        """Load the tokenizer in a folder; None where it has none, CheckpointError when its files are damaged."""
        layouts: tuple[tuple[tuple[str, ...], Callable[..., Tokenizer]], ...] = (
            (("tokenizer.json",), _from_json),
            (("vocab.json", "merges.txt"), _from_merges),
            ((OPENAI_VOCABULARY,), _from_openai),
        )
        for names, read in layouts:
            paths = [folder / name for name in names]
            if all(path.is_file() for path in paths):
                try:
                    tokenizer = read(*paths)
                except Exception as error:  # The library raises bare exceptions.
                    raise CheckpointError(
                        f"{paths[0]}: is not a tokenizer that can be read ({str(error)[:200]})"
                    ) from error
                return cls(tokenizer, paths[0])
        return None

    def encode(self, texts: Sequence[str], context: int) -> Int[Tensor, "n L"]:
        """Return the ids of each sentence, padded with 0 to the longest.

        A sentence that exceeds `context` is cut, and its end token is kept.
        """
        rows = [[self.start_id, *ids[: context - 2], self.end_id] for ids in self._ids(texts)]
        longest = max((len(row) for row in rows), default=2)
        return torch.tensor([row + [0] * (longest - len(row)) for row in rows], dtype=torch.long).reshape(
            len(rows), longest
        )

    def decode(self, token_id: int) -> str:
        """Return the text of one token, without the mark of a word's end."""
        return str(self._tokenizer.decode([token_id], skip_special_tokens=False)).replace("</w>", " ").strip()

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids without start and end tokens."""
        return [list(encoding.ids) for encoding in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]


def _from_json(path: Path) -> Tokenizer:
    return Tokenizer.from_file(str(path))


def _from_merges(vocabulary: Path, merges: Path) -> Tokenizer:
    return _tokenizer(*BPE.read_file(str(vocabulary), str(merges)))


def _from_openai(path: Path) -> Tokenizer:
    """Build the tokenizer from OpenAI's file, which lists merges only.

    The ids follow from their order: bytes, bytes that end a word, merges, the two special tokens.
    """
    with gzip.open(path, "rt", encoding="utf-8") as file:
        lines = file.read().split("\n")[1 : _OPENAI_SIZE - 2 - 512 + 1]
    merges = [(first, second) for first, _, second in (line.partition(" ") for line in lines) if second]
    alphabet = byte_alphabet()
    tokens = [
        *alphabet,
        *(f"{letter}</w>" for letter in alphabet),
        *(first + second for first, second in merges),
        START,
        END,
    ]
    return _tokenizer({token: number for number, token in enumerate(tokens)}, merges)


def byte_alphabet() -> list[str]:
    """Return the letters that stand for the 256 bytes, in the order of their ids.

    Bytes that print as themselves come first.
    """
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [chr(byte) for byte in printable] + [chr(256 + number) for number in range(256 - len(printable))]


def _tokenizer(vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> Tokenizer:
    """Build CLIP's pipeline: lower case, single spaces, split into words, bytes, byte pairs."""
    tokenizer = Tokenizer(
        BPE(vocab=vocabulary, merges=merges, end_of_word_suffix="</w>", continuing_subword_prefix="", unk_token=END)
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    split = pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([START, END])
    return tokenizer
