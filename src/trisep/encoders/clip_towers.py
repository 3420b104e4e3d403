"""The three towers of CLIP (Radford et al. 2021): ResNet and ViT for pictures, a causal transformer for text.

Module names are those of the original checkpoints, so that their tensors load as they are. Nothing here knows
about files, pixels or tokenizers. Dense regions follow VAST (Eq. 7–9): in the last attention layer each location
attends to itself alone.
"""

from collections import OrderedDict

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval


class QuickGELU(nn.Module):
    """x · sigmoid(1.702 x), the activation of OpenAI's checkpoints."""

    def forward(self, x: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """Apply the function element by element."""
        return x * torch.sigmoid(1.702 * x)


class Attention(nn.Module):
    """Multi-head self-attention, causal in the text tower."""

    def __init__(self, width: int, num_heads: int, *, causal: bool) -> None:
        """Build the layers; `width` is a multiple of `num_heads`."""
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * width))
        self.out_proj = nn.Linear(width, width)
        self.num_heads = num_heads
        self.causal = causal

    def forward(self, x: Float[Tensor, "B L C"]) -> Float[Tensor, "B L C"]:
        """Attend from every position to all positions, or to all earlier ones where the attention is causal."""
        projected = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        query, key, value = (_split_heads(part, self.num_heads) for part in projected.chunk(3, dim=-1))
        read = F.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        result: Tensor = self.out_proj(read.transpose(1, 2).flatten(2))
        return result

    def own_value(self, x: Float[Tensor, "B L C"]) -> Float[Tensor, "B L C"]:
        """Let every position attend to itself alone: the value, then the output projection."""
        _, _, weight = self.in_proj_weight.chunk(3)
        _, _, bias = self.in_proj_bias.chunk(3)
        result: Tensor = self.out_proj(F.linear(x, weight, bias))
        return result


class Block(nn.Module):
    """One transformer layer, normalised before each half."""

    def __init__(self, width: int, num_heads: int, *, causal: bool, quick_gelu: bool) -> None:
        """Build the layers; the hidden width is four times `width`."""
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = Attention(width, num_heads, causal=causal)
        self.ln_2 = nn.LayerNorm(width)
        activation = QuickGELU() if quick_gelu else nn.GELU()
        layers = [("c_fc", nn.Linear(width, 4 * width)), ("gelu", activation), ("c_proj", nn.Linear(4 * width, width))]
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, x: Float[Tensor, "B L C"], *, own_value: bool = False) -> Float[Tensor, "B L C"]:
        """Apply the layer; with `own_value` each position attends to itself alone."""
        normed = self.ln_1(x)
        x = x + (self.attn.own_value(normed) if own_value else self.attn(normed))
        result: Tensor = x + self.mlp(self.ln_2(x))
        return result


class Transformer(nn.Module):
    """A stack of blocks."""

    def __init__(self, width: int, num_layers: int, num_heads: int, *, causal: bool, quick_gelu: bool) -> None:
        """Build `num_layers` blocks of the same sizes."""
        super().__init__()
        blocks = [Block(width, num_heads, causal=causal, quick_gelu=quick_gelu) for _ in range(num_layers)]
        self.resblocks = nn.Sequential(*blocks)


class VisionTransformer(nn.Module):
    """CLIP's ViT: pictures → trunk → pooled embedding or embeddings of regions.

    Shapes: picture [B, 3, H, W] (normalised, sides multiples of the patch), trunk [B, 1 + h·w, C], pooled [B, D],
    regions [B, h·w, D].

    Regions: the paper defines them for the ResNet only. Here the last block is kept whole (skip connection,
    feed-forward layer, final normalisation and projection) with its attention replaced by the position's own value and
    output projection, as in MaskCLIP (Zhou et al. 2022). Both definitions agree in one point: the last attention's
    weights become the identity.
    """

    def __init__(
        self,
        *,
        patch: int,
        grid: int,
        width: int,
        num_layers: int,
        num_heads: int,
        embedding_dim: int,
        quick_gelu: bool,
    ) -> None:
        """Build the layers; `grid` is the number of patches along each side of the training picture."""
        super().__init__()
        self.stride = patch
        self.num_heads = num_heads
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.positional_embedding = nn.Parameter(torch.empty(1 + grid**2, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = Transformer(width, num_layers, num_heads, causal=False, quick_gelu=quick_gelu)
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(torch.empty(width, embedding_dim))

    def trunk(self, image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B L C"]:
        """Compute everything before the last block."""
        patches = self.conv1(image)
        tokens = torch.cat([self.class_embedding.expand(len(image), 1, -1), patches.flatten(2).transpose(1, 2)], dim=1)
        x = self.ln_pre(tokens + fit_positions(self.positional_embedding, patches.shape[2], patches.shape[3]))
        result: Tensor = self.transformer.resblocks[:-1](x)
        return result

    def pool(self, trunk: Float[Tensor, "B L C"]) -> Float[Tensor, "B D"]:
        """Embed the whole picture: the last block read at the class position."""
        result: Tensor = self.ln_post(self.transformer.resblocks[-1](trunk)[:, 0]) @ self.proj
        return result

    def regions(self, trunk: Float[Tensor, "B L C"]) -> Float[Tensor, "B N D"]:
        """Embed each patch, row by row."""
        result: Tensor = self.ln_post(self.transformer.resblocks[-1](trunk[:, 1:], own_value=True)) @ self.proj
        return result


class AttentionPool(nn.Module):
    """The head of the ResNet tower: the mean location attends to all locations and itself."""

    def __init__(self, grid: int, width: int, num_heads: int, embedding_dim: int) -> None:
        """Build the layers; `grid` is the number of locations along each side of the last feature map in training."""
        super().__init__()
        self.positional_embedding = nn.Parameter(torch.empty(1 + grid**2, width))
        self.k_proj, self.q_proj, self.v_proj = (
            nn.Linear(width, width),
            nn.Linear(width, width),
            nn.Linear(width, width),
        )
        self.c_proj = nn.Linear(width, embedding_dim)
        self.num_heads = num_heads

    def forward(self, features: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D"]:
        """Embed the whole picture."""
        x = features.flatten(2).transpose(1, 2)
        positions = fit_positions(self.positional_embedding, features.shape[2], features.shape[3])
        x = torch.cat([x.mean(dim=1, keepdim=True), x], dim=1) + positions
        projected = self.q_proj(x[:, :1]), self.k_proj(x), self.v_proj(x)
        query, key, value = (_split_heads(part, self.num_heads) for part in projected)
        read = F.scaled_dot_product_attention(query, key, value)
        result: Tensor = self.c_proj(read.transpose(1, 2).flatten(1))
        return result

    def regions(self, features: Float[Tensor, "B C H W"]) -> Float[Tensor, "B N D"]:
        """Compute VAST Eq. 9 at each location, row by row.

        This is W_L · W_V · f, with both biases and the location's positional embedding.
        """
        x = features.flatten(2).transpose(1, 2)
        positions = fit_positions(self.positional_embedding, features.shape[2], features.shape[3])[1:]
        result: Tensor = self.c_proj(self.v_proj(x + positions))
        return result


class Bottleneck(nn.Module):
    """One residual block; where the original ResNet has a stride, CLIP averages 2 × 2 cells before a convolution."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        """Build the layers, with `channels` inside and four times as many outside."""
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(in_channels, channels, 1, bias=False), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        self.avgpool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.conv3, self.bn3 = nn.Conv2d(channels, 4 * channels, 1, bias=False), nn.BatchNorm2d(4 * channels)
        self.downsample: nn.Sequential | None = None
        if stride > 1 or in_channels != 4 * channels:
            convolution = nn.Conv2d(in_channels, 4 * channels, 1, bias=False)
            layers = [("-1", nn.AvgPool2d(stride)), ("0", convolution), ("1", nn.BatchNorm2d(4 * channels))]
            self.downsample = nn.Sequential(OrderedDict(layers))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C2 H2 W2"]:
        """Apply the block."""
        inner = F.relu(self.bn1(self.conv1(x)))
        inner = self.avgpool(F.relu(self.bn2(self.conv2(inner))))
        inner = self.bn3(self.conv3(inner))
        return F.relu(inner + (x if self.downsample is None else self.downsample(x)))


class ModifiedResNet(nn.Module):
    """CLIP's ResNet: pictures → trunk → pooled embedding or embeddings of regions.

    Shapes: picture [B, 3, H, W] (normalised, sides multiples of 32), trunk [B, C, H/32, W/32], pooled [B, D],
    regions [B, h·w, D].
    """

    stride = 32

    def __init__(
        self, *, num_blocks: tuple[int, int, int, int], width: int, grid: int, num_heads: int, embedding_dim: int
    ) -> None:
        """Build the layers; `width` is that of the stem, and the last stage has 32 times as many channels."""
        super().__init__()
        self.num_heads = num_heads
        half = width // 2
        self.conv1, self.bn1 = nn.Conv2d(3, half, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(half)
        self.conv2, self.bn2 = nn.Conv2d(half, half, 3, padding=1, bias=False), nn.BatchNorm2d(half)
        self.conv3, self.bn3 = nn.Conv2d(half, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        channels = width
        for stage, count in enumerate(num_blocks):
            inside, blocks = width * 2**stage, list[nn.Module]()
            for index in range(count):
                blocks.append(Bottleneck(channels, inside, stride=2 if stage > 0 and index == 0 else 1))
                channels = 4 * inside
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.attnpool = AttentionPool(grid, channels, num_heads, embedding_dim)

    def trunk(self, image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C H2 W2"]:
        """Compute the last feature map."""
        x = F.relu(self.bn1(self.conv1(image)))
        x = F.relu(self.bn2(self.conv2(x)))
        x = F.avg_pool2d(F.relu(self.bn3(self.conv3(x))), 2)
        for stage in ("layer1", "layer2", "layer3", "layer4"):
            x = self.get_submodule(stage)(x)
        return x

    def pool(self, trunk: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D"]:
        """Embed the whole picture."""
        result: Tensor = self.attnpool(trunk)
        return result

    def regions(self, trunk: Float[Tensor, "B C H W"]) -> Float[Tensor, "B N D"]:
        """Embed each location, row by row."""
        return self.attnpool.regions(trunk)

    def fold_batch_norm(self) -> None:
        """Fold each normalisation into its convolution: the same function, faster.

        This is only for a frozen network in evaluation mode.
        """
        for module in self.modules():
            pairs = [(module, f"conv{number}", f"bn{number}") for number in (1, 2, 3)]
            if isinstance(module, Bottleneck) and module.downsample is not None:
                pairs.append((module.downsample, "0", "1"))
            for owner, first, second in pairs:
                convolution, norm = getattr(owner, first, None), getattr(owner, second, None)
                if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    setattr(owner, first, fuse_conv_bn_eval(convolution, norm))
                    setattr(owner, second, nn.Identity())


class CLIPNetwork(nn.Module):
    """The image tower (`visual`) and the text tower, which stands at the top level as in the original."""

    def __init__(
        self,
        visual: VisionTransformer | ModifiedResNet,
        *,
        vocabulary: int,
        context: int,
        width: int,
        num_layers: int,
        num_heads: int,
        embedding_dim: int,
        quick_gelu: bool,
    ) -> None:
        """Build the text tower; `context` is the largest number of positions (77 in every published CLIP)."""
        super().__init__()
        self.visual = visual
        self.num_heads = num_heads
        self.token_embedding = nn.Embedding(vocabulary, width, _weight=torch.empty(vocabulary, width))
        self.positional_embedding = nn.Parameter(torch.empty(context, width))
        self.transformer = Transformer(width, num_layers, num_heads, causal=True, quick_gelu=quick_gelu)
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.empty(width, embedding_dim))

    def read_tokens(self, embeddings: Float[Tensor, "n L E"], end_positions: Int[Tensor, "n"]) -> Float[Tensor, "n D"]:
        """Embed token vectors, start and end included, by the state of the end token.

        Attention is causal, so positions after the end token change nothing and may be left out: L need not
        be the whole context.
        """
        x = self.transformer.resblocks(embeddings + self.positional_embedding[: embeddings.shape[1]])
        ends = x[torch.arange(len(x), device=x.device), end_positions]
        result: Tensor = self.ln_final(ends) @ self.text_projection
        return result


def _split_heads(x: Float[Tensor, "B L C"], num_heads: int) -> Float[Tensor, "B N L C2"]:
    """Split the channels into heads."""
    return x.reshape(*x.shape[:2], num_heads, x.shape[2] // num_heads).transpose(1, 2)


def fit_positions(positions: Float[Tensor, "P C"], height: int, width: int) -> Float[Tensor, "Q C"]:
    """Interpolate the positional embedding bicubically to a grid of another shape.

    It has one row for the whole picture, then a square grid.
    """
    grid = round((len(positions) - 1) ** 0.5)
    if (height, width) == (grid, grid):
        return positions
    square = positions[1:].reshape(1, grid, grid, -1).permute(0, 3, 1, 2)
    fitted = F.interpolate(square.float(), size=(height, width), mode="bicubic", align_corners=False).to(
        positions.dtype
    )
    return torch.cat([positions[:1], fitted[0].flatten(1).T])
