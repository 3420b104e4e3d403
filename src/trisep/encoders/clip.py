"""CLIP (Radford et al. 2021) as a `SharedEncoder`: text, pictures, regions and boxes in one space.

The encoder is frozen and always returns float32. Preprocessing of whole pictures and boxes is CLIP's: bicubic resize of
the short side to the size of the tower (224), centre crop, values scaled to [0, 1] and normalised by CLIP's mean and
standard deviation. Regions cover the whole picture, so the centre is not cropped for them: see `encode_regions`. This
file knows no checkpoint layout.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from trisep.encoders.clip_files import CLIP_SOURCES, find_clip_weights, find_tokenizer
from trisep.encoders.clip_tokenizer import CLIPTokenizer
from trisep.encoders.clip_towers import ModifiedResNet
from trisep.encoders.clip_weights import load_clip
from trisep.errors import CheckpointError

_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STANDARD_DEVIATION = (0.26862954, 0.26130258, 0.27577711)
_GRID = 7
_MAX_ASPECT = 3


class CLIPEncoder:
    """A `SharedEncoder` from a CLIP checkpoint of any common layout (see `clip_weights`).

    Embeddings are raw, not of unit length. The fingerprint is a hash of the weights and the precision. It leaves the
    vocabulary out: there is only one, and it is checked when it is read.
    """

    def __init__(
        self,
        weights: Path,
        *,
        name: str = "clip",
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        """Load a file or folder. CheckpointError when it is missing, damaged, no archive of tensors, or not CLIP.

        Args:
            weights: a checkpoint file, or a folder that holds one.
            name: the name of this encoder in stores and checkpoints.
            dtype: float32, or bfloat16 for half the memory.
            device: where the towers compute; results come back to the CPU, except those of `encode_tokens`.
        """
        if dtype not in (torch.float32, torch.bfloat16):
            raise ValueError(f"dtype must be torch.float32 or torch.bfloat16, not {dtype}")
        network, digest = load_clip(weights)
        if isinstance(network.visual, ModifiedResNet):
            network.visual.fold_batch_norm()
        self.name = name
        self.fingerprint = digest[:16] if dtype == torch.float32 else f"{digest[:11]}-bf16"
        self.dim = int(network.text_projection.shape[1])
        self.weights = weights
        self._network = network.to(device, dtype)
        self._dtype, self._device = dtype, torch.device(device)
        positions = network.visual.attnpool if isinstance(network.visual, ModifiedResNet) else network.visual
        self.image_size: int = network.visual.stride * round((len(positions.positional_embedding) - 1) ** 0.5)

    @property
    def description(self) -> str:
        """Dimension, kind of image tower and its stride in pixels, as text."""
        visual = self._network.visual
        return (
            f"D = {self.dim}, {'ResNet' if isinstance(visual, ModifiedResNet) else 'ViT'} tower, stride {visual.stride}"
        )

    @property
    def token_table(self) -> Float[Tensor, "V E"]:
        """The vectors of all tokens, as `encode_tokens` takes them; float32."""
        return self._network.token_embedding.weight.float()

    def token_word(self, token_id: int) -> str:
        """Return the text of a row of `token_table`; CheckpointError as in `tokenizer`."""
        return self.tokenizer.decode(token_id)

    @cached_property
    def tokenizer(self) -> CLIPTokenizer:
        """The tokenizer; CheckpointError when the vocabulary is not on this machine or belongs to other weights."""
        tokenizer = find_tokenizer(self.weights)
        rows = len(self._network.token_embedding.weight)
        if tokenizer.size != rows:
            raise CheckpointError(
                f"{tokenizer.source}: has {tokenizer.size} tokens, but the weights in {self.weights} have {rows}"
            )
        return tokenizer

    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "n D"]:
        """Embed sentences; text beyond the context (75 tokens) is cut off."""
        return self.encode_ids(self.tokenizer.encode(texts, len(self._network.positional_embedding)))

    @torch.no_grad()
    def encode_ids(self, ids: Int[Tensor, "n L"]) -> Float[Tensor, "n D"]:
        """Embed rows of token ids that begin with the start token.

        The end token is the largest id of each row, and anything may follow it. Only as many positions are computed as
        the longest row needs, which changes nothing (see `CLIPNetwork.read_tokens`).
        """
        ends = ids.argmax(dim=1).to(self._device)
        longest = int(ends.max()) + 1 if len(ids) else 1
        embeddings = self._network.token_embedding(ids[:, :longest].to(self._device))
        return self._network.read_tokens(embeddings, ends).float().cpu()

    def encode_tokens(self, token_embeddings: Float[Tensor, "n m E"]) -> Float[Tensor, "n D"]:
        """Embed free token vectors between the start and end tokens; differentiable.

        Attention is causal and only the end token is read, so m + 2 positions are computed and the padding to 77 is
        left out: the same output and gradient for 15 × fewer operations at m = 3. The result stays on the encoder's
        device.
        """
        num_rows, num_free, _ = token_embeddings.shape
        table, context = self._network.token_embedding.weight, len(self._network.positional_embedding)
        if num_free + 2 > context:
            raise ValueError(
                f"token_embeddings: at most {context - 2} free tokens fit between start and end, got {num_free}"
            )
        free = token_embeddings.to(self._device, self._dtype)
        start, end = (row.expand(num_rows, 1, -1) for row in table[-2:])
        ends = torch.full((num_rows,), num_free + 1, device=self._device)
        return self._network.read_tokens(torch.cat([start, free, end], dim=1), ends).float()

    @torch.no_grad()
    def encode_image(self, frames: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Float[Tensor, "n D"]:
        """Embed whole pictures of any size, by their central square."""
        if not frames:
            return torch.zeros(0, self.dim)
        return self._pool(self._trunk([crop_centre(frame, self.image_size) for frame in frames]))

    @torch.no_grad()
    def encode_regions(self, frames: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Float[Tensor, "n 7 7 D"]:
        """Embed each cell of a 7 × 7 grid over each picture, whatever its shape.

        The short side becomes the size of the tower and the long side the nearest multiple of its stride, at most 3 ×
        as long (a longer picture is squeezed). Positional embeddings are interpolated, and the map of locations is
        averaged to 7 × 7. For a square picture and a tower with a 7 × 7 map none of this is needed, and the result is
        the paper's (VAST Eq. 7–9; for ViT see the tower).
        """
        grids: list[Float[Tensor, "7 7 D"] | None] = [None] * len(frames)
        images = [fit_stride(frame, self.image_size, self._network.visual.stride) for frame in frames]
        for shape in sorted({image.shape for image in images}):
            indices = [index for index, image in enumerate(images) if image.shape == shape]
            found = self._regions(self._trunk([images[index] for index in indices]), shape)
            for index, grid in zip(indices, found, strict=True):
                grids[index] = grid
        return (
            torch.stack([grid for grid in grids if grid is not None])
            if grids
            else torch.zeros(0, _GRID, _GRID, self.dim)
        )

    @torch.no_grad()
    def encode_both(
        self, frames: Sequence[UInt8[np.ndarray, "_ _ 3"]]
    ) -> tuple[Float[Tensor, "n D"], Float[Tensor, "n 7 7 D"]]:
        """Compute `encode_image` and `encode_regions`; square pictures run through the tower once for both."""
        if not frames or any(frame.shape[0] != frame.shape[1] for frame in frames):
            return self.encode_image(frames), self.encode_regions(frames)
        images = [crop_centre(frame, self.image_size) for frame in frames]
        trunk = self._trunk(images)
        return self._pool(trunk), self._regions(trunk, images[0].shape)

    def _trunk(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Tensor:
        """Run pictures of one size through the tower up to its last attention layer."""
        return self._network.visual.trunk(normalise(images).to(self._device, self._dtype))

    def _pool(self, trunk: Tensor) -> Float[Tensor, "n D"]:
        """Embed whole pictures from the trunk."""
        return self._network.visual.pool(trunk).float().cpu()

    def _regions(self, trunk: Tensor, shape: tuple[int, ...]) -> Float[Tensor, "n 7 7 D"]:
        """Embed the locations of the tower, averaged to the 7 × 7 grid."""
        height, width = (side // self._network.visual.stride for side in shape[:2])
        regions = self._network.visual.regions(trunk).float().cpu().reshape(len(trunk), height, width, self.dim)
        pooled: Tensor = F.adaptive_avg_pool2d(regions.permute(0, 3, 1, 2), _GRID)
        return pooled.permute(0, 2, 3, 1)


def load_published(name: str) -> CLIPEncoder:
    """Load a CLIP of `CLIP_SOURCES` by name.

    Raises CheckpointError when its weights are not on this machine or are those of another model.
    """
    source = CLIP_SOURCES[name]
    encoder = CLIPEncoder(find_clip_weights(name), name=name)
    expected = f"D = {source.dim}, {'ResNet' if source.is_resnet else 'ViT'} tower, stride {source.stride}"
    if (found := encoder.description) != expected:
        raise CheckpointError(f"{encoder.weights}: is not '{name}': expected {expected}, got {found}")
    return encoder


def crop_centre(frame: UInt8[np.ndarray, "H W 3"], side: int) -> UInt8[np.ndarray, "S S 3"]:
    """Resize the short side as CLIP does (bicubic; the long side rounded down) and crop the central square."""
    height, width = frame.shape[:2]
    short = min(height, width)
    size = (int(side * width / short), int(side * height / short))
    resized = (
        frame if size == (width, height) else np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC))
    )
    top, left = round((size[1] - side) / 2), round((size[0] - side) / 2)
    return resized[top : top + side, left : left + side]


def fit_stride(frame: UInt8[np.ndarray, "H W 3"], side: int, stride: int) -> UInt8[np.ndarray, "H2 W2 3"]:
    """Resize the whole picture to short side `side` and long side the nearest multiple of `stride`.

    The long side is at most three times the short side.
    """
    height, width = frame.shape[:2]
    scale = side / min(height, width)
    size = tuple(
        min(max(round(length * scale / stride) * stride, side), _MAX_ASPECT * side) for length in (width, height)
    )
    if size == (width, height):
        return frame
    return np.asarray(Image.fromarray(frame).resize((size[0], size[1]), Image.Resampling.BICUBIC))


def normalise(images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Float[Tensor, "n 3 H W"]:
    """Scale pixels 0–255 to the range that CLIP reads."""
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    return (pixels - torch.tensor(_MEAN)[:, None, None]) / torch.tensor(_STANDARD_DEVIATION)[:, None, None]
