"""BERT (Devlin et al. 2019) in the place of a shared space, for BERTSep (CLIPSep, section 4.2): text only, frozen.

The paper says "a BERT encoder". It names neither the checkpoint nor how a sentence becomes one vector. The public code
reads a file of vectors of 256 numbers that is not published. Ours is `bert-base-uncased` (768 numbers) and the mean
over all tokens' last states: the state of [CLS] alone stands for a sentence only after fine-tuning, as BERT's authors
say. The weights are searched in the hub's local cache or in the folder that `TRISEP_BERT` names. Nothing is downloaded,
and only safetensors are read: a pickle is refused. This file knows no pictures.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from transformers import BertModel, BertTokenizer
from transformers.utils import logging

from trisep.encoders.fingerprint import weights_fingerprint
from trisep.errors import CheckpointError, QueryError

PLACE_VARIABLE = "TRISEP_BERT"
"""Environment variable: a folder as transformers saves it, or a repository of the hub that is in the local cache."""
HUB = "bert-base-uncased"


def bert_place() -> str:
    """Return the place that BERT is loaded from: the one that `TRISEP_BERT` names, else the repository on the hub."""
    return os.path.expanduser(os.environ.get(PLACE_VARIABLE) or HUB)


class Bert:
    """A `SharedEncoder` of text alone: the methods for pictures, regions and free tokens raise QueryError.

    Embeddings are not of unit length; the fingerprint is a hash of the weights and the vocabulary.
    """

    name = "bert"
    token_table = torch.zeros(0, 0)

    def __init__(self, place: str) -> None:
        """Load a folder, or a hub repository from the local cache.

        Raises CheckpointError when it is missing, damaged, a pickle, or not BERT.
        """
        files = "config.json, model.safetensors and vocab.txt"
        remedy = f"run `hf download {HUB}`, or set {PLACE_VARIABLE} to a folder with {files}"
        try:
            with _quietly():
                loaded: Any = BertModel.from_pretrained(
                    place,
                    local_files_only=True,
                    use_safetensors=True,
                    add_pooling_layer=False,
                    output_loading_info=True,
                )
                self._tokenizer: Any = BertTokenizer.from_pretrained(place, local_files_only=True)
        except (
            Exception
        ) as error:  # the library raises whatever its readers of JSON, safetensors and vocabularies raise
            reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
            raise CheckpointError(f"encoder 'bert': nothing to load at {place} ({reason}); {remedy}") from error
        model, found = loaded
        if missing := sorted(found["missing_keys"]):
            raise CheckpointError(
                f"encoder 'bert': {place} is not BERT, it lacks {missing[0]} and {len(missing) - 1} more; {remedy}"
            )
        if not len(self._tokenizer.all_special_ids) < len(self._tokenizer) <= model.config.vocab_size:
            found_words, expected = len(self._tokenizer), model.config.vocab_size
            raise CheckpointError(
                f"encoder 'bert': the vocabulary at {place} has {found_words} words, expected {expected}; {remedy}"
            )
        self._network = model.float().eval().requires_grad_(False)
        self.dim = int(model.config.hidden_size)
        vocabulary = self._tokenizer.get_vocab()
        self.fingerprint = weights_fingerprint(
            model.state_dict(), "\n".join(sorted(vocabulary, key=vocabulary.__getitem__))
        )

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "n D"]:
        """Embed sentences as the mean of the last states of all tokens, [CLS] and [SEP] among them.

        Text beyond BERT's 512 positions is cut off.
        """
        if not texts:
            return torch.zeros(0, self.dim)
        length = self._network.config.max_position_embeddings
        tokens = self._tokenizer(list(texts), padding=True, truncation=True, max_length=length, return_tensors="pt")
        mask = tokens["attention_mask"].unsqueeze(-1).float()
        with torch.autocast("cpu", enabled=False):
            states: Tensor = self._network(**tokens).last_hidden_state
        mean: Tensor = (states * mask).sum(dim=1) / mask.sum(dim=1)
        return mean

    def encode_image(self, frames: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Float[Tensor, "n D"]:
        """Raise QueryError: this encoder embeds text only."""
        self._refuse("a picture")

    def encode_regions(self, frames: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Float[Tensor, "n 7 7 D"]:
        """Raise QueryError: this encoder embeds text only."""
        self._refuse("a place in a picture")

    def encode_tokens(self, token_embeddings: Float[Tensor, "n m E"]) -> Float[Tensor, "n D"]:
        """Raise QueryError: a latent caption is found by comparison with a picture, which this encoder cannot embed."""
        self._refuse("a latent caption")

    def token_word(self, token_id: int) -> str:
        """Raise QueryError, as `encode_tokens` does."""
        self._refuse("a latent caption")

    def _refuse(self, what: str) -> NoReturn:
        raise QueryError(
            f"the encoder 'bert' embeds text only and cannot embed {what}; give a query in words, or choose another "
            "--model"
        )


@contextmanager
def _quietly() -> Iterator[None]:
    """Hide the library's progress bars and its list of unused tensors, which every published BERT has."""
    verbosity, shows_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shows_bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
