"""CLIPSep (Dong et al., ICLR 2023): the paper's settings, its baselines and variants, and a size for a CPU.

Numbers are SNR in dB, which the paper calls SDR; `text` and `image` are the queries at test time. They are from Tables
2 (MUSIC), 3 (VGGSound) and 6.
"""

from dataclasses import replace

from trisep.encoders import NO_ENCODER, TRAINING_TEMPLATES
from trisep.losses.masks import MaskLoss
from trisep.losses.noise_invariant import NoiseInvariantLoss
from trisep.losses.permutation import PermutationInvariantLoss
from trisep.mixing.augmentation import AugmentationConfig
from trisep.mixing.mixture import MixingConfig
from trisep.models import clipsep_middle as middle
from trisep.models import clipsep_nit as nit
from trisep.models import labelsep, pit, sound_of_pixels
from trisep.models.clipsep import Config
from trisep.networks.audio_unet import UNetConfig
from trisep.recipes import OptimizerConfig, Recipe, TrainingConfig
from trisep.types import SignalSettings

_CITATION = "Dong et al., CLIPSep: Learning Text-queried Sound Separation with Noisy Unlabeled Videos, ICLR 2023"


def clipsep() -> Recipe:
    """CLIPSep as trained on MUSIC (section 4.1, Appendix C).

    It has image queries, weighted BCE on binary masks, and 200 k steps.
    """
    return Recipe(
        name="clipsep",
        citation=_CITATION,
        supervision="none",
        encoder="clip-vit-b32",
        signal=SignalSettings(mixture_level_db=None),
        mixing=MixingConfig(num_sources=2, num_frames=3),
        model=Config(embedding_dim=512, unet=UNetConfig(out_channels=32)),
        optimizer=OptimizerConfig(
            learning_rate=1e-3,
            warmup_steps=5000,
            decay="linear",
            decay_steps=100_000,
            final_factor=0.1,
            gradient_clip=1.0,
        ),
        training=TrainingConfig(num_steps=200_000, batch_size=32, checkpoint_steps=1000, validation_steps=10_000),
        protocol="clipsep-music",
        claims=(
            ("text snr mean", 5.49),
            ("text snr median", 4.97),
            ("image snr mean", 7.03),
            ("image snr median", 5.85),
        ),
    )


def clipsep_vggsound() -> Recipe:
    """CLIPSep as trained on VGGSound, whose videos also hold sounds that are not in the picture (section 4.2)."""
    claims = (
        ("music+ text snr mean", 9.71),
        ("music+ image snr mean", 12.20),
        ("text snr mean", 2.76),
        ("image snr mean", 5.46),
    )
    return replace(clipsep(), name="clipsep-vggsound", protocol="clipsep-clean+", claims=claims)


def clipsep_middle() -> Recipe:
    """CLIPSep with the query at the bottleneck, as in the public code.

    The paper prints no numbers, only that it overfits (Appendix C).
    """
    return replace(clipsep(), name="clipsep-middle", model=middle.Config(), claims=())


def clipsep_nit() -> Recipe:
    """CLIPSep-NIT on VGGSound: two noise heads, γ = 0.25, λ = 0.1 (sections 3.2 and 4.2)."""
    return replace(
        clipsep_vggsound(),
        name="clipsep-nit",
        model=nit.Config(),
        loss=NoiseInvariantLoss(),
        claims=(
            ("music+ text snr mean", 10.27),
            ("music+ image snr mean", 11.28),
            ("text snr mean", 3.05),
            ("image snr mean", 4.84),
        ),
    )


def clipsep_text() -> Recipe:
    """CLIPSep-Text on MUSIC: trained with the labels as text queries, through one template (public code)."""
    claims = (("text snr mean", 7.91), ("text snr median", 7.46), ("image snr mean", 6.25), ("image snr median", 6.19))
    return replace(
        clipsep(), name="clipsep-text", supervision="labels", query="text", templates=TRAINING_TEMPLATES, claims=claims
    )


def clipsep_hybrid() -> Recipe:
    """CLIPSep-Hybrid on MUSIC: one batch has image queries, the next has the labels through one template."""
    claims = (("text snr mean", 8.36), ("text snr median", 8.72), ("image snr mean", 8.06), ("image snr median", 8.01))
    return replace(clipsep_text(), name="clipsep-hybrid", query="hybrid", claims=claims)


def clipsep_bertsep() -> Recipe:
    """BERTSep on VGGSound: CLIPSep-Text with BERT's embedding of the label in the place of CLIP's.

    It is described in section 4.2 and Table 3.
    """
    return replace(
        clipsep_vggsound(),
        name="clipsep-bertsep",
        supervision="labels",
        encoder="bert",
        query="text",
        templates=TRAINING_TEMPLATES,
        model=Config(embedding_dim=768, unet=UNetConfig(out_channels=32)),
        claims=(
            ("music+ text snr mean", 4.67),
            ("music+ text snr median", 4.41),
            ("text snr mean", 5.09),
            ("text snr median", 5.49),
        ),
    )


def clipsep_labelsep() -> Recipe:
    """LabelSep on MUSIC: an embedding is learned for each of the 11 instruments.

    Other labels need `--set model.num_labels=…`.
    """
    return replace(
        clipsep(),
        name="clipsep-labelsep",
        supervision="labels",
        encoder=NO_ENCODER,
        query="label",
        model=labelsep.Config(num_labels=11),
        claims=(("label snr mean", 8.18), ("label snr median", 7.82)),
    )


def clipsep_pit() -> Recipe:
    """PIT on MUSIC: two masks without a query; its scores use the known sources (Appendix D)."""
    return replace(
        clipsep(),
        name="clipsep-pit",
        encoder=NO_ENCODER,
        query="none",
        model=pit.Config(),
        loss=PermutationInvariantLoss(),
        claims=(("oracle snr mean", 8.68), ("oracle snr median", 7.67)),
    )


def clipsep_sop() -> Recipe:
    """Sound of Pixels on MUSIC, in CLIPSep's setting. The original starts from ImageNet: `--init resnet18-….pth`.

    Ours: the whole model is trained at one rate. The original trains its image network at a tenth of the rate; the row
    in the paper keeps it fixed (`--set training.frozen=image_network`).
    """
    return replace(
        clipsep(),
        name="clipsep-sop",
        encoder=NO_ENCODER,
        query="frames",
        model=sound_of_pixels.Config(),
        claims=(("image snr mean", 6.59), ("image snr median", 6.22)),
    )


def clipsep_text_vggsound() -> Recipe:
    """CLIPSep-Text on VGGSound (section 4.2, Table 3)."""
    claims = (
        ("music+ text snr mean", 10.73),
        ("music+ text snr median", 9.93),
        ("music+ image snr mean", 9.89),
        ("music+ image snr median", 8.09),
        ("text snr mean", 5.49),
        ("text snr median", 5.06),
        ("image snr mean", 2.45),
        ("image snr median", 1.74),
    )
    return replace(clipsep_text(), name="clipsep-text-vggsound", protocol="clipsep-clean+", claims=claims)


def clipsep_sop_vggsound() -> Recipe:
    """Sound of Pixels on VGGSound (section 4.2, Table 3)."""
    claims = (
        ("music+ image snr mean", 11.44),
        ("music+ image snr median", 11.18),
        ("image snr mean", 2.99),
        ("image snr median", 3.89),
    )
    return replace(clipsep_sop(), name="clipsep-sop-vggsound", protocol="clipsep-clean+", claims=claims)


def clipsep_pit_vggsound() -> Recipe:
    """PIT on VGGSound (section 4.2, Table 3)."""
    claims = (
        ("music+ oracle snr mean", 12.24),
        ("music+ oracle snr median", 12.53),
        ("oracle snr mean", 5.73),
        ("oracle snr median", 4.97),
    )
    return replace(clipsep_pit(), name="clipsep-pit-vggsound", protocol="clipsep-clean+", claims=claims)


def clipsep_labelsep_vggsound() -> Recipe:
    """LabelSep on the 309 labels of VGGSound (section 4.2, Table 3)."""
    return replace(
        clipsep_labelsep(),
        name="clipsep-labelsep-vggsound",
        model=labelsep.Config(num_labels=309),
        protocol="clipsep-clean+",
        claims=(("label snr mean", 5.55), ("label snr median", 5.29)),
    )


def clipsep_esc50() -> Recipe:
    """CLIPSep on ESC-50, which has text and no pictures: fine-tuned with `--init`, from scratch without (Appendix H).

    Ours, since the paper gives none: 20 000 steps at a tenth of the rate.
    """
    return replace(
        clipsep_text(),
        name="clipsep-esc50",
        optimizer=OptimizerConfig(learning_rate=1e-4, warmup_steps=500),
        training=TrainingConfig(num_steps=20_000, batch_size=32, checkpoint_steps=1000, validation_steps=1000),
        protocol="esc50",
        claims=(
            ("fine-tuned text snr mean", 6.73),
            ("fine-tuned text snr median", 5.89),
            ("scratch text snr mean", 5.18),
            ("scratch text snr median", 5.09),
            ("vggsound text snr mean", 1.07),
            ("vggsound text snr median", 2.34),
        ),
    )


def clipsep_avmini() -> Recipe:
    """CLIPSep in a size that two CPU cores train in hours, with the `lite` encoder and augmentation."""
    return Recipe(
        name="clipsep-avmini",
        citation=_CITATION,
        supervision="none",
        encoder="lite",
        signal=SignalSettings(mixture_level_db=-23.0),
        mixing=MixingConfig(
            num_sources=2,
            num_frames=3,
            source_gain_db=(-5.0, 5.0),
            equalize_levels=True,
            mixture_gain_db=(-6.0, 6.0),
            num_absent_queries=1,
            interference_probability=0.2,
            interference_db=(-12.0, 0.0),
        ),
        augmentation=AugmentationConfig(
            resample_probability=0.5,
            room_probability=0.3,
            equalizer_probability=0.5,
            equalizer_db=6.0,
            codec_probability=0.15,
        ),
        model=Config(
            embedding_dim=384,
            unet=UNetConfig(base_width=32, max_width=256, upsampling="transposed", out_channels=32),
            normalize_query=True,
            query_scale=20.0,
        ),
        loss=MaskLoss(absent_weight=0.5),
        optimizer=OptimizerConfig(
            learning_rate=1.5e-3, warmup_steps=100, decay="cosine", final_factor=0.02, gradient_clip=1.0
        ),
        training=TrainingConfig(
            num_steps=3400, batch_size=16, precision="bf16", ema_decay=0.998, checkpoint_steps=100, validation_steps=500
        ),
        protocol="avmini",
    )
