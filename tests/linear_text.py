"""An encoder whose text side is linear, so that the best latent caption is known from linear algebra alone."""

import torch
from clip_folders import MeanColour
from torch import Tensor


class LinearText(MeanColour):
    """Pictures by mean colour; tokens by `(Σ tokens) @ weight`, whose rank can be less than the three colours."""

    def __init__(self, fingerprint: str = "linear", *, rank: int = 3, size: int = 6) -> None:
        super().__init__(fingerprint)
        generator = torch.Generator().manual_seed(3)
        self.weight = torch.randn(size, rank, generator=generator) @ torch.randn(rank, 3, generator=generator)
        self.token_table = 0.1 * torch.randn(40, size, generator=generator)
        self.num_rows: list[int] = []

    def encode_tokens(self, token_embeddings: Tensor) -> Tensor:
        """Linear in every token."""
        self.num_rows.append(len(token_embeddings))
        return token_embeddings.sum(dim=1) @ self.weight

    def token_word(self, token_id: int) -> str:
        """A made-up word."""
        return f"word{token_id}"

    def best_cosines(self, pictures: Tensor) -> Tensor:
        """The cosine of each picture to its projection on what the text side can say."""
        basis = torch.linalg.qr(self.weight.T)[0][:, : torch.linalg.matrix_rank(self.weight)]
        return (pictures @ basis).norm(dim=1) / pictures.norm(dim=1)
