"""Latent captions: free token vectors that a frozen text encoder maps to what a picture shows (VAST Eq. 1 and 6).

For each picture embedding f, the search optimises m token vectors p, which stand between the start and end tokens, to
maximise cos(f, g_L(p)), where g_L is the text encoder. The latent caption is g_L(p*), of unit length. The module works
with any `SharedEncoder` and knows no clip store.

*Our deviations*, since the paper says only "5k iterations" of gradient search: the start (the m words, from a sample
drawn with the seed, whose embeddings are nearest to the picture when each stands alone), Adam with β = (0.8, 0.95), the
step size, and the stop rule. Many pictures are searched in one batch, and a picture whose search has ended leaves it. A
picture's result depends only on its embedding, the encoder and the settings, except for rounding, which changes a
little with the size of the batch.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from trisep.encoders import SharedEncoder
from trisep.errors import ConfigError

_BETAS = (0.8, 0.95)
_EPSILON = 1e-8
_BATCH_WORDS = 256
MAX_TOKENS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionSettings:
    """How latent captions are searched for; these settings are stored with the captions."""

    num_tokens: int = 3
    """m, 1 to 4; 3 is best in the paper's Table 6."""
    max_iterations: int = 5000
    """The paper's number; the stop rule ends nearly every search long before it."""
    window_iterations: int = 5
    """Number of iterations from one check of the stop rule to the next."""
    min_rise: float = 0.01
    """A search stops when its best cosine rose by less than this fraction in a window; below 0, none stops early."""
    learning_rate: float = 0.4
    """Adam's step size, in standard deviations of the entries of the encoder's token table."""
    num_words: int = 2048
    """Number of words, drawn from the encoder's token table with the seed, among which each start is chosen."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ConfigError for numbers out of range."""
        if not 1 <= self.num_tokens <= MAX_TOKENS:
            raise ConfigError(f"a latent caption has 1 to {MAX_TOKENS} tokens, got {self.num_tokens}")
        if (
            min(self.max_iterations, self.window_iterations) < 1
            or self.num_words < self.num_tokens
            or self.learning_rate <= 0
        ):
            raise ConfigError(f"iterations, words and step size of the search for captions must be above 0, got {self}")

    def to_json(self) -> dict[str, Any]:
        """Return everything that the result depends on besides the encoder and the pictures, as plain JSON values."""
        return {
            **asdict(self),
            "optimizer": f"Adam, betas {_BETAS[0]} and {_BETAS[1]}",
            "start": "nearest single words of the sample",
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class LatentCaptions:
    """What the search found: one row per picture, on the CPU."""

    captions: Float[Tensor, "n D"]
    """The captions C* = g_L(p*), of unit length."""
    tokens: Float[Tensor, "n m E"]
    """The token vectors p* that were found."""
    cosines: Float[Tensor, "n"]
    """cos(f, C*), the cosine between each picture and its caption."""
    num_iterations: Int[Tensor, "n"]


@dataclass(frozen=True, slots=True)
class WordSample:
    """Words of the encoder's token table, and the embedding of each word when it stands alone."""

    tokens: Float[Tensor, "W E"]
    embeddings: Float[Tensor, "W D"]
    """Embeddings of unit length."""


@torch.no_grad()
def sample_words(encoder: SharedEncoder, settings: CaptionSettings) -> WordSample:
    """Draw `num_words` different rows of the token table and embed each alone.

    All rows are taken where the table has fewer.
    """
    table = encoder.token_table
    chosen = torch.randperm(len(table), generator=torch.Generator().manual_seed(settings.seed))[: settings.num_words]
    tokens = table[chosen.to(table.device)]
    embeddings = torch.cat([encoder.encode_tokens(words.unsqueeze(1)) for words in torch.split(tokens, _BATCH_WORDS)])
    return WordSample(tokens, F.normalize(embeddings, dim=-1))


def nearest_starts(pictures: Float[Tensor, "n D"], words: WordSample, num_tokens: int) -> Float[Tensor, "n m E"]:
    """Return the `num_tokens` words nearest to each picture by cosine, the nearest first."""
    chosen = (pictures @ words.embeddings.T).topk(num_tokens, dim=1).indices
    return words.tokens[chosen]


def find_captions(
    encoder: SharedEncoder,
    pictures: Float[Tensor, "n D"],
    settings: CaptionSettings,
    *,
    words: WordSample | None = None,
    on_done: Callable[[int], None] = lambda num_pictures: None,
) -> LatentCaptions:
    """Search for the latent captions of a batch of pictures, all at once.

    Args:
        encoder: the frozen encoder whose text side is searched.
        pictures: embeddings of the pictures by the same encoder, of any length but 0.
        settings: number of tokens, step size, stop rule and seed.
        words: what `sample_words` returned for this encoder and these settings; None draws it here.
        on_done: called with the number of pictures whose search has ended, each time some end.
    """
    words = sample_words(encoder, settings) if words is None else words
    targets = F.normalize(pictures.float(), dim=-1).to(words.embeddings)
    step = settings.learning_rate * float(words.tokens.std())
    search = _Search(encoder, targets, nearest_starts(targets, words, settings.num_tokens), step)
    running = torch.arange(len(targets), device=targets.device)
    reached = torch.full_like(search.cosines, -2.0)
    while len(running):
        search.advance(running, min(settings.window_iterations, settings.max_iterations - search.iteration))
        best, before = search.cosines[running], reached[running]
        continues = (best - before >= settings.min_rise * before.abs()) & (search.iteration < settings.max_iterations)
        reached[running] = best
        search.num_iterations[running[~continues]] = search.iteration
        on_done(int((~continues).sum()))
        running = running[continues]
    return LatentCaptions(
        captions=search.captions.cpu(),
        tokens=search.tokens.cpu(),
        cosines=search.cosines.cpu(),
        num_iterations=search.num_iterations.cpu(),
    )


class _Search:
    """Adam on the token vectors of every picture, together with the best tokens that each picture has reached."""

    def __init__(
        self, encoder: SharedEncoder, targets: Float[Tensor, "n D"], starts: Float[Tensor, "n m E"], step: float
    ) -> None:
        self.encoder, self.targets, self.step = encoder, targets, step
        self.iteration = 0
        self.tokens, self.captions = starts.clone(), torch.zeros_like(targets)
        self.cosines = torch.full((len(targets),), -torch.inf, device=targets.device)
        self.num_iterations = torch.zeros(len(targets), dtype=torch.long, device=targets.device)
        self._current, self._mean, self._square = starts.clone(), torch.zeros_like(starts), torch.zeros_like(starts)

    def advance(self, rows: Int[Tensor, "r"], num_iterations: int) -> None:
        """Optimise the tokens of some rows further; each of them has done as many steps as `iteration` says."""
        current, mean, square, targets = (
            values[rows] for values in (self._current, self._mean, self._square, self.targets)
        )
        for _ in range(num_iterations):
            current.requires_grad_(True)
            captions = F.normalize(self.encoder.encode_tokens(current), dim=-1)
            cosines = (captions * targets).sum(dim=-1)
            # The encoder treats the rows independently, so the gradient of the sum holds each row's own gradient.
            (gradient,) = torch.autograd.grad(-cosines.sum(), current)
            current = current.detach()
            self._keep_best(rows, current, captions.detach(), cosines.detach())
            self.iteration += 1
            mean = torch.lerp(gradient, mean, _BETAS[0])
            square = torch.lerp(gradient.square(), square, _BETAS[1])
            unbiased = mean / (1 - _BETAS[0] ** self.iteration), square / (1 - _BETAS[1] ** self.iteration)
            current = current - self.step * unbiased[0] / (unbiased[1].sqrt() + _EPSILON)
        self._current[rows], self._mean[rows], self._square[rows] = current, mean, square

    def _keep_best(self, rows: Tensor, tokens: Tensor, captions: Tensor, cosines: Tensor) -> None:
        """Store the tokens, captions and cosines of the rows whose cosine rose."""
        better = cosines > self.cosines[rows]
        improved = rows[better]
        self.tokens[improved], self.captions[improved], self.cosines[improved] = (
            tokens[better],
            captions[better],
            cosines[better],
        )


@torch.no_grad()
def nearest_words(encoder: SharedEncoder, tokens: Float[Tensor, "n m E"]) -> list[list[str]]:
    """Return, for people to read, the word of the encoder's token table that has the largest cosine with each token.

    Raises CheckpointError where the encoder's vocabulary is not on this machine.
    """
    table = F.normalize(encoder.token_table, dim=-1)
    nearest = (F.normalize(tokens.to(table), dim=-1) @ table.T).argmax(dim=-1)
    return [[encoder.token_word(number) for number in row] for row in nearest.tolist()]
