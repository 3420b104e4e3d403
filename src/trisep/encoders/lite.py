"""The encoder `lite`: a small joint space of images and text that works without internet access.

Text goes through the MiniLM-L6 sentence encoder. A picture or region is embedded as the probability-weighted mean of
the text embeddings of its top classes (ConSE, Norouzi et al. 2014). The classes are those of EfficientNet-Lite0
(ImageNet-1k, all WordNet synonyms averaged) and a few concepts that ImageNet lacks, whose linear heads were fitted on
labelled photographs (`pretrained/lite_classes`, made by `scripts/fit_lite_concepts.py`). A sound is embedded in the
same way, by the classes of `audio_tower.py`. All networks are frozen.

Pictures thus lie among the embeddings of the classes. A sentence says more than a class ("person playing a …") and lies
beside them. `ground` moves a text embedding half of the way towards the classes, so that a model that was trained with
pictures understands every wording.
"""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from trisep import pretrained
from trisep.encoders.audio_tower import SoundClasses
from trisep.encoders.efficientnet_lite import EfficientNetLite0, preprocess
from trisep.encoders.minilm import MiniLM, load_minilm
from trisep.media.files import sha256_of

_FOLDER = Path(pretrained.__file__).parent
_CLASSES_FILE = _FOLDER / "lite_classes.safetensors"
_SHORT_SIDE = 224
_STRIDE = 32
_GRID = 7
_MAX_ASPECT = 3.0
_GROUNDING_TEMPERATURE = 0.05
"""Temperature of the softmax over the cosines with the classes."""
_EVIDENCE_OF_THINGS = 12.0
"""Logarithm of the summed evidence for all classes (log-sum-exp of the logits) of a cell that shows something; bare
walls, sky and grass have about 8, things 13 to 35."""
_DOUBT_PER_NAT = 0.1


class LiteEncoder:
    """A `SharedEncoder` of dimension 384.

    Text vectors have unit length; picture vectors are shorter the less sure the classifier is.
    """

    name = "lite"
    dim = 384

    def __init__(self, *, num_top_classes: int = 10, fitted: bool = True) -> None:
        """Load nothing yet: the towers are loaded when they are first used.

        `num_top_classes` is ConSE's T; `fitted=False` leaves the fitted concepts out (to fit them).
        """
        self.num_top_classes = num_top_classes
        self._fitted = fitted

    @property
    def token_table(self) -> Float[Tensor, "30522 384"]:
        """The vectors of all word pieces, as `encode_tokens` takes them."""
        return self.text_tower.word_table

    def token_word(self, token_id: int) -> str:
        """Return the text of a row of `token_table`; pieces inside a word begin with ##."""
        return str(self._tokenizer.id_to_token(token_id))

    @property
    def vocabulary(self) -> frozenset[str]:
        """All word pieces; those inside a word begin with ##."""
        return frozenset(self._tokenizer.get_vocab())

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "n 384"]:
        """Embed sentences as the mean of the token states, unit length (the published pipeline of all-MiniLM-L6-v2)."""
        ids, mask = self.tokenize(texts)
        return mean_pool(self.text_tower.from_ids(ids, mask), mask)

    def tokenize(self, texts: Sequence[str]) -> tuple[Int[Tensor, "n m"], Int[Tensor, "n m"]]:
        """Cut sentences into word pieces: their ids, and 0 where a sentence is padded, 1 elsewhere."""
        encodings = self._tokenizer.encode_batch(list(texts))
        ids, masks = ([getattr(encoding, name) for encoding in encodings] for name in ("ids", "attention_mask"))
        return torch.tensor(ids), torch.tensor(masks)

    def ground(self, text_embeddings: Float[Tensor, "*n 384"]) -> Float[Tensor, "*n 384"]:
        """Return unit vectors halfway between the directions of texts and the mean of their nearest classes.

        ConSE puts a picture of the text at that mean. This is ours. The other half keeps what no class stands for. The
        lengths of the inputs do not count.
        """
        unit = torch.nn.functional.normalize(text_embeddings, dim=-1)
        if not self._fitted:
            return unit
        classes = self._class_embeddings
        cosines, nearest = (unit @ classes.T).topk(self.num_top_classes, dim=-1)
        weights = torch.softmax(cosines / _GROUNDING_TEMPERATURE, dim=-1)
        among = (weights.unsqueeze(-1) * classes[nearest]).sum(dim=-2)
        return torch.nn.functional.normalize(unit + torch.nn.functional.normalize(among, dim=-1), dim=-1)

    def encode_tokens(self, token_embeddings: Float[Tensor, "n m 384"]) -> Float[Tensor, "n 384"]:
        """Embed free token vectors between the start and end tokens, without padding; differentiable."""
        ends = self.token_table[[self._tokenizer.token_to_id("[CLS]"), self._tokenizer.token_to_id("[SEP]")]]
        start, end = ends.unsqueeze(1).unsqueeze(1).expand(2, len(token_embeddings), 1, -1)
        states = self.text_tower.from_embeddings(torch.cat([start, token_embeddings, end], dim=1))
        return mean_pool(states, torch.ones(states.shape[:2]))

    def encode_image(self, frames: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Float[Tensor, "n 384"]:
        """Embed whole pictures by the mean of all locations' logits.

        The classifier is linear, so this mean is exactly the logits of the pooled picture.
        """
        return self.embed_logits(torch.stack([logits.mean(dim=(1, 2)) for logits in self._logits(frames)]))

    def encode_regions(self, frames: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Float[Tensor, "n 7 7 384"]:
        """Embed each cell of a 7 × 7 grid over the whole picture of any shape, by the mean logits of its area."""
        return self.encode_regions_with_doubt(frames)[0]

    def encode_regions_with_doubt(
        self, frames: Sequence[UInt8[np.ndarray, "_ _ 3"]]
    ) -> tuple[Float[Tensor, "n 7 7 384"], Float[Tensor, "n 7 7"]]:
        """Compute `encode_regions`, and by how much the cosines of each cell with words are to be lowered.

        Probabilities sum to one also where nothing is seen: there the class with the largest bias wins and is embedded
        like a thing that is clearly seen. But the evidence for all classes together is small. The doubt of a cell is
        the largest of its locations: half a thing beside half a wall is doubted, however clear the thing. This is ours.
        """
        maps = self._logits(frames)
        doubts = [
            _DOUBT_PER_NAT * torch.nn.functional.softplus(_EVIDENCE_OF_THINGS - one.logsumexp(dim=0)) for one in maps
        ]
        grids = torch.stack([torch.nn.functional.adaptive_avg_pool2d(one, _GRID).permute(1, 2, 0) for one in maps])
        doubt = torch.stack([torch.nn.functional.adaptive_max_pool2d(one[None], _GRID)[0] for one in doubts])
        return self.embed_logits(grids), doubt

    def encode_both(
        self, frames: Sequence[UInt8[np.ndarray, "_ _ 3"]]
    ) -> tuple[Float[Tensor, "n 384"], Float[Tensor, "n 7 7 384"]]:
        """Compute `encode_image` and `encode_regions` from one pass of the image tower."""
        logits = self._logits(frames)
        grids = [torch.nn.functional.adaptive_avg_pool2d(one, _GRID).permute(1, 2, 0) for one in logits]
        whole = self.embed_logits(torch.stack([one.mean(dim=(1, 2)) for one in logits]))
        return whole, self.embed_logits(torch.stack(grids))

    def class_probabilities(self, frames: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> list[Float[Tensor, "C _ _"]]:
        """Compute the probability of every class (see `class_names`) at each location of pictures of any shape.

        Locations are 32 pixels apart where the short side has 224.
        """
        return [torch.softmax(logits, dim=0) for logits in self._logits(frames)]

    def embed_logits(
        self, logits: Float[Tensor, "*n C"], class_embeddings: Float[Tensor, "C 384"] | None = None
    ) -> Float[Tensor, "*n 384"]:
        """Compute the mean of the top classes' text embeddings, weighted by their probabilities (ConSE).

        The probabilities are rescaled to sum to one.
        """
        embeddings = self._class_embeddings if class_embeddings is None else class_embeddings
        probabilities, classes = torch.softmax(logits, dim=-1).topk(self.num_top_classes, dim=-1)
        weights = probabilities / probabilities.sum(dim=-1, keepdim=True)
        return (weights.unsqueeze(-1) * embeddings[classes]).sum(dim=-2)

    def encode_audio(self, waveform: Float[Tensor, "B S"], sample_rate_hz: int) -> Float[Tensor, "B 384"]:
        """Embed mono sounds of any level and length, full scale ±1, each as a whole (ConSE over its classes)."""
        return self.embed_logits(self.sounds.logits(waveform, sample_rate_hz), self.sounds.embeddings)

    def encode_audio_seconds(self, waveform: Float[Tensor, "B S"], sample_rate_hz: int) -> Float[Tensor, "B N 384"]:
        """Embed every second of mono sounds, N = ⌈S / rate⌉."""
        return self.embed_logits(self.sounds.logits_per_second(waveform, sample_rate_hz), self.sounds.embeddings)

    @cached_property
    def sounds(self) -> SoundClasses:
        """The audio tower with the names and embeddings of its classes; it has a fingerprint of its own."""
        return SoundClasses()

    @cached_property
    def known_things(self) -> Float[Tensor, "_ 384"]:
        """Text embeddings of all classes of pictures and of sounds, unit length."""
        return torch.cat([self._class_embeddings, self.sounds.embeddings])

    @torch.no_grad()
    def image_features(self, frames: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Float[Tensor, "n 1280"]:
        """Compute the pooled features of the image tower, before any class."""
        batches = [torch.from_numpy(_resize(frame)).permute(2, 0, 1).unsqueeze(0) for frame in frames]
        return torch.cat([self.image_tower(preprocess(batch.float())).mean(dim=(2, 3)) for batch in batches])

    @property
    def imagenet_head(self) -> tuple[Float[Tensor, "1000 1280"], Float[Tensor, "1000"]]:
        """Weights and biases of the published classifier."""
        return self.image_tower.classifier.weight, self.image_tower.classifier.bias

    def location_logits(self, batch: Float[Tensor, "n 3 H W"]) -> Float[Tensor, "n C _ _"]:
        """Compute the class logits at every location of pictures of one size, which `preprocess` has scaled."""
        weight, bias = self._heads
        return torch.nn.functional.conv2d(self.image_tower(batch), weight[:, :, None, None], bias)

    @torch.no_grad()
    def _logits(self, frames: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> list[Float[Tensor, "C _ _"]]:
        """Compute the class logits at every location; pictures of one size go through the network together."""
        images = [_resize(frame) for frame in frames]
        logits: list[Tensor | None] = [None] * len(images)
        for shape in sorted({image.shape for image in images}):
            indices = [index for index, image in enumerate(images) if image.shape == shape]
            batch = torch.from_numpy(np.stack([images[index] for index in indices])).permute(0, 3, 1, 2)
            maps = self.location_logits(preprocess(batch.float()).to(memory_format=torch.channels_last))
            for index, one in zip(indices, maps, strict=True):
                logits[index] = one
        return [one for one in logits if one is not None]

    @cached_property
    def fingerprint(self) -> str:
        """A hash that changes whenever an embedding could change: the hashes of all files that the encoder uses.

        The results of `ground` and `encode_audio` do not count: they are computed at every query, and no stored vector
        has passed through them.
        """
        files = ["efficientnet-lite0", "minilm-l6", "minilm-l6-tokenizer"]
        parts = [pretrained.PRETRAINED[name].sha256 for name in files] + [sha256_of(_CLASSES_FILE)]
        return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]

    @cached_property
    def class_names(self) -> tuple[tuple[str, ...], ...]:
        """All names of every class: 1000 of ImageNet, then the fitted concepts."""
        with safe_open(_CLASSES_FILE, framework="pt") as file:
            concepts = json.loads(file.metadata()["concepts"])
        return (*imagenet_names(), *((name,) for name in concepts))

    @cached_property
    def _heads(self) -> tuple[Float[Tensor, "C 1280"], Float[Tensor, "C"]]:
        """Weights and biases of all classes: those of the image tower for ImageNet, then the fitted ones."""
        weight, bias = self.imagenet_head
        if not self._fitted:
            return weight, bias
        return torch.cat([weight, _stored("weight")]), torch.cat([bias, _stored("bias")])

    @cached_property
    def _class_embeddings(self) -> Float[Tensor, "_ 384"]:
        """Text embeddings of all classes (mean over templates and names, unit length; none while fitting)."""
        return _stored("class_embeddings") if self._fitted else torch.empty(0, self.dim)

    @cached_property
    def image_tower(self) -> EfficientNetLite0:
        """The network of pictures, without a head."""
        tower = EfficientNetLite0()
        tower.load_published(torch.load(pretrained.find("efficientnet-lite0"), weights_only=True, map_location="cpu"))
        tower.eval().requires_grad_(False).fold_batch_norm()
        return tower.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    @cached_property
    def _tokenizer(self):  # type: ignore[no-untyped-def]
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(pretrained.find("minilm-l6-tokenizer")))
        tokenizer.enable_padding()
        tokenizer.enable_truncation(256)
        return tokenizer

    @cached_property
    def text_tower(self) -> MiniLM:
        """The network of words."""
        return load_minilm(pretrained.find("minilm-l6"))

    def release_text_tower(self) -> None:
        """Let go of the network of words, 44 MB; it is loaded again, in 20 ms, when it is next used."""
        self.__dict__.pop("text_tower", None)


def _stored(name: str) -> Tensor:
    """Read one tensor of the file of fitted classes, as float32."""
    with safe_open(_CLASSES_FILE, framework="pt") as file:
        tensor: Tensor = file.get_tensor(name).float()
    return tensor


def imagenet_names() -> tuple[tuple[str, ...], ...]:
    """Read all WordNet synonyms of each of ImageNet's 1000 classes, in the order of the classifier."""
    lines = (_FOLDER / "imagenet_synonyms.tsv").read_text(encoding="utf-8").splitlines()
    return tuple(tuple(line.split("\t")[1].split(", ")) for line in lines)


def mean_pool(states: Float[Tensor, "n m 384"], mask: Tensor) -> Float[Tensor, "n 384"]:
    """Compute the mean of the states where the mask is not 0, at unit length."""
    weights = mask.unsqueeze(-1).to(states.dtype)
    return torch.nn.functional.normalize((states * weights).sum(dim=1) / weights.sum(dim=1), dim=-1)


def _resize(frame: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H2 W2 3"]:
    """Resize to short side 224 and long side the nearest multiple of 32, squeezed beyond an aspect ratio of 3."""
    height, width = frame.shape[:2]
    scale = _SHORT_SIDE / min(height, width)
    limit = int(_SHORT_SIDE * _MAX_ASPECT)
    sides = [min(max(round(side * scale / _STRIDE) * _STRIDE, _SHORT_SIDE), limit) for side in (width, height)]
    if (sides[0], sides[1]) == (width, height):
        return frame
    return np.asarray(Image.fromarray(frame).resize((sides[0], sides[1]), Image.Resampling.BICUBIC))
