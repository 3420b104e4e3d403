"""Losses that align the embedding of a sound with pictures and text: VAST's Eq. 2, 3 and 5, HFRA's Eq. 8.

All similarities are cosines over a temperature, in single precision at least. Eq. 2 and 3 print dot products, which
without a scale give a near-uniform softmax; the temperature 0.01 is the public code's scale of 100 (spec section 4).
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, kl_div, log_softmax, normalize

from trisep.losses import LossTerms, unwrapped
from trisep.losses.masks import MaskLoss
from trisep.spectrogram.log_frequency import log_magnitude
from trisep.types import QueryEmbedding, SpectralMixture

_SAME = 1 - 1e-6
"""Cosine above which an entry of the vocabulary is the clip's own caption."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VASTLoss:
    """`λ₁ mask + λ₂ tri-modal + λ₃ audio–language` (Eq. 5), and the public code's fourth term.

    A weight of 0 leaves a term out.
    """

    mask: MaskLoss = field(default_factory=lambda: MaskLoss(kind="ratio_l1", logarithmic_weight=False))
    mask_weight: float = 1.0
    """λ₁."""
    tri_modal_weight: float = 1e-2
    """λ₂; Table 11's best pair. Table 5's tri-modal row alone has 1e-3."""
    audio_language_weight: float = 1e-3
    """λ₃; Table 5's audio–language row alone has 1e-2."""
    caption_mask_weight: float = 0.0
    """Weight of the mask loss with the latent caption as the query: 1e-3 in the public code, absent from the paper."""
    temperature: float = 0.01
    """τ; not in the paper."""
    vocabulary_size: int = 8192
    """Number of latent captions that Eq. 2 compares with: the whole training set, or a new sample of so
    many in each step."""

    @property
    def needs(self) -> frozenset[str]:
        """`captions` unless only the masks have weight; `vocabulary` for Eq. 2."""
        needed = (
            {"captions"} if self.tri_modal_weight or self.audio_language_weight or self.caption_mask_weight else set()
        )
        return frozenset(needed | ({"vocabulary"} if self.audio_language_weight else set()))

    def __call__(self, model: nn.Module, batch: SpectralMixture) -> LossTerms:
        """Run one pass for the masks, and the encoder alone on the separated sounds where an alignment has weight."""
        output = model(log_magnitude(batch.magnitude), batch.mixture.query)
        terms = {name: self.mask_weight * value for name, value in self.mask.terms(output, batch).items()}
        observed: dict[str, Tensor] = {}
        captions = batch.mixture.captions
        if captions is not None and (self.tri_modal_weight or self.audio_language_weight):
            audio = embed_sources(model, output.masks[:, : captions.shape[1]], batch.magnitude)
            observed["caption_cosine"] = cosine_similarity(audio.detach().float(), captions.float(), dim=-1).mean()
            if self.tri_modal_weight:
                regions = batch.mixture.query.regions
                assert regions is not None
                terms["tri_modal"] = self.tri_modal_weight * tri_modal(
                    regions[:, : captions.shape[1]], captions, audio, temperature=self.temperature
                )
            if self.audio_language_weight:
                assert batch.mixture.vocabulary is not None
                terms["audio_language"] = self.audio_language_weight * audio_language(
                    audio.flatten(0, 1), captions.flatten(0, 1), batch.mixture.vocabulary, temperature=self.temperature
                )
        if captions is not None and self.caption_mask_weight:
            captioned = model(log_magnitude(batch.magnitude), QueryEmbedding(vectors=captions))
            terms["caption_mask"] = self.caption_mask_weight * self.mask.terms(captioned, batch)["mask"]
        return LossTerms(terms, observed)


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherAlignedLoss:
    """HFRA's `L_sep + λ (1 − cos(z_a, z_teacher))` (Eq. 8).

    The bottleneck of the mixture is pulled towards a frozen audio teacher.
    """

    mask: MaskLoss = field(default_factory=lambda: MaskLoss(kind="magnitude_l1"))
    teacher_weight: float = 1.0
    """λ; not in the paper. 0 leaves the alignment out."""

    @property
    def needs(self) -> frozenset[str]:
        """`teacher` where its weight is not 0."""
        return frozenset({"teacher"} if self.teacher_weight else ())

    def __call__(self, model: nn.Module, batch: SpectralMixture) -> LossTerms:
        """Compute masks and alignment from the same pass, since the bottleneck is that of the mixture."""
        output = model(log_magnitude(batch.magnitude), batch.mixture.query)
        terms = self.mask.terms(output, batch)
        if not self.teacher_weight:
            return LossTerms(terms)
        assert batch.mixture.teacher is not None and output.bottleneck is not None
        distance = representation_alignment(unwrapped(model).pool_audio(output.bottleneck), batch.mixture.teacher)
        return LossTerms(terms | {"teacher": self.teacher_weight * distance}, {"teacher_cosine": 1 - distance.detach()})


def embed_sources(
    model: nn.Module, masks: Float[Tensor, "B N F T"], magnitude: Float[Tensor, "B F T"]
) -> Float[Tensor, "B N D"]:
    """Compute `f̂^A = pool(E(log(M̂ ⊙ A_mix)))` of every predicted spectrogram (spec section 4)."""
    predicted = (masks * magnitude.unsqueeze(1)).flatten(0, 1)
    embedded: Tensor = unwrapped(model).embed_audio(log_magnitude(predicted))
    return embedded.reshape(*masks.shape[:2], -1)


def audio_language(
    audio: Float[Tensor, "M D"],
    captions: Float[Tensor, "M D"],
    vocabulary: Float[Tensor, "V D"],
    *,
    temperature: float = 0.01,
) -> Float[Tensor, ""]:
    """Compute `−log softmax` of cosine(f̂^A, C*)/τ at each sound's own caption (Eq. 2); mean over sounds.

    The softmax runs over the vocabulary and the own caption. The vocabulary may hold the own caption or
    not: it counts once.
    """
    audio, captions, vocabulary = (normalize(values.float(), dim=-1) for values in (audio, captions, vocabulary))
    own = (audio * captions).sum(dim=-1, keepdim=True) / temperature
    others = (audio @ vocabulary.T / temperature).masked_fill(captions @ vocabulary.T > _SAME, -torch.inf)
    return -log_softmax(torch.cat([own, others], dim=1), dim=1)[:, 0].mean()


def tri_modal(
    regions: Float[Tensor, "B N K H W D"],
    captions: Float[Tensor, "B N D"],
    audio: Float[Tensor, "B N D"],
    *,
    temperature: float = 0.01,
) -> Float[Tensor, ""]:
    """Compare the regions at which text and sound point (Eq. 3).

    For each frame this is `KL(softmax_x(f_x·C*/τ) ‖ softmax_x(f_x·f̂^A/τ))` over the H·W regions x, summed over them;
    mean over frames and sounds.
    """
    cells = normalize(regions.float().flatten(3, 4), dim=-1)
    by_words, by_sound = (
        log_softmax(torch.einsum("bnkxd,bnd->bnkx", cells, normalize(vectors.float(), dim=-1)) / temperature, dim=-1)
        for vectors in (captions, audio)
    )
    return kl_div(by_sound, by_words, reduction="none", log_target=True).sum(dim=-1).mean()


def representation_alignment(audio: Float[Tensor, "B E"], teacher: Float[Tensor, "B E"]) -> Float[Tensor, ""]:
    """Compute `1 − cos(z_a, z_teacher)`, mean over the batch (HFRA Eq. 7)."""
    return 1 - cosine_similarity(audio.float(), teacher.float(), dim=-1).mean()
