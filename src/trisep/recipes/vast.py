"""VAST (Tan et al., CVPR 2023): the paper's settings, its baselines on the same encoder, and a size for a CPU.

Every ablation of the paper is one of these with `--set`; docs/vast.md lists them with the published numbers. Table 6
(number of tokens) is chosen by `trisep embed --captions --tokens`.
"""

from dataclasses import replace

from trisep.losses.alignment import VASTLoss
from trisep.losses.masks import MaskLoss
from trisep.mixing.augmentation import AugmentationConfig
from trisep.mixing.mixture import MixingConfig
from trisep.models import clipsep
from trisep.models import vast as model
from trisep.networks.audio_unet import UNetConfig
from trisep.recipes import OptimizerConfig, Recipe, TrainingConfig
from trisep.types import SignalSettings

_CITATION = "Tan et al., Language-Guided Audio-Visual Source Separation via Trimodal Consistency, CVPR 2023"
_CLAIMS = (
    ("music solo sdri", 7.98),
    ("music duet sdri", 8.08),
    ("solos sdri", 8.58),
    ("audioset sdri", 4.15),
    ("solos text sdri", 6.92),
)
_RATIO_L1 = MaskLoss(kind="ratio_l1", logarithmic_weight=False)


def vast() -> Recipe:
    """VAST with CLIP RN50 and 7 × 7 regions of three frames (Appendix F).

    Ours, since the paper gives none: batch 16, momentum 0.9, weight decay 1e-4, normalisation of the decoder over
    channels; and 60 000 steps in the place of its 100 epochs, whose length it does not give.
    """
    return Recipe(
        name="vast",
        citation=_CITATION,
        supervision="none",
        encoder="clip-rn50",
        signal=SignalSettings(sample_rate_hz=11025, window_samples=1022, mixture_level_db=None),
        mixing=MixingConfig(num_sources=2, num_frames=3, frame_spacing_seconds=3.0, source_gain_db=(0.0, 0.0)),
        query="regions",
        model=model.Config(embedding_dim=1024),
        loss=VASTLoss(),
        optimizer=OptimizerConfig(
            kind="sgd",
            learning_rate=4e-3,
            momentum=0.9,
            weight_decay=1e-4,
            warmup_steps=1000,
            decay="cosine",
            final_factor=0.0,
        ),
        training=TrainingConfig(
            num_steps=60_000, batch_size=16, accumulation_steps=8, checkpoint_steps=500, validation_steps=5000
        ),
        protocol="vast",
        claims=_CLAIMS,
    )


def vast_plain_tile() -> Recipe:
    """VAST with each region's vector tiled alone, as Eq. 4 prints it; `vast` tiles its negative beside it."""
    return replace(vast(), name="vast-plain-tile", model=model.Config(embedding_dim=1024, tiling="plain"))


def vast_av_mix() -> Recipe:
    """AV-Mix-and-Separate: VAST's network on the whole video at once, trained on masks alone (Tables 1 to 3)."""
    whole = vast()
    return replace(
        whole,
        name="vast-av-mix",
        model=model.Config(embedding_dim=1024, level="video"),
        loss=VASTLoss(tri_modal_weight=0.0, audio_language_weight=0.0),
        claims=(("music solo sdri", 3.16), ("music duet sdri", 3.23), ("solos sdri", 2.94), ("audioset sdri", 1.68)),
    )


def vast_sop_clip() -> Recipe:
    """Sound of Pixels' late fusion on CLIP's region features, their maximum over frames and places (Table 4)."""
    return replace(
        vast(),
        name="vast-sop-clip",
        model=clipsep.Config(embedding_dim=1024, reads_regions=True),
        loss=_RATIO_L1,
        claims=(("solos sdri", 4.42),),
    )


def vast_avmini() -> Recipe:
    """VAST in a size that two CPU cores train in an hour, with `lite`: one frame, 4 × 4 regions, 2 s, augmentation."""
    return Recipe(
        name="vast-avmini",
        citation=_CITATION,
        supervision="none",
        encoder="lite",
        signal=SignalSettings(clip_samples=32767, mixture_level_db=-23.0),
        mixing=MixingConfig(
            num_sources=2, num_frames=1, source_gain_db=(-5.0, 5.0), equalize_levels=True, mixture_gain_db=(-6.0, 6.0)
        ),
        augmentation=AugmentationConfig(
            resample_probability=0.5,
            room_probability=0.3,
            equalizer_probability=0.5,
            equalizer_db=6.0,
            codec_probability=0.15,
        ),
        query="regions",
        model=model.Config(
            embedding_dim=384,
            unet=UNetConfig(
                base_width=16, max_width=128, upsampling="transposed", normalization="channel", out_channels=1
            ),
            region_grid=4,
            chunk_regions=256,
            normalize_query=True,
            query_scale=20.0,
        ),
        loss=VASTLoss(),
        optimizer=OptimizerConfig(
            learning_rate=1e-3, warmup_steps=50, decay="cosine", final_factor=0.05, gradient_clip=1.0
        ),
        training=TrainingConfig(
            num_steps=1000, batch_size=8, precision="bf16", ema_decay=0.99, checkpoint_steps=50, validation_steps=250
        ),
        protocol="avmini",
    )
