"""CLIPSep (Dong et al., ICLR 2023): the papers' settings, and the miniature ones that a CPU can train."""

from trisep.augmentation import AugmentationConfig
from trisep.losses.masks import MaskLoss
from trisep.mixing import MixingConfig
from trisep.models.clipsep import Config
from trisep.networks.audio_unet import UNetConfig
from trisep.recipes import OptimizerConfig, Recipe, TrainingConfig
from trisep.types import SignalSettings

_CITATION = "Dong et al., CLIPSep: Learning Text-queried Sound Separation with Noisy Unlabeled Videos, ICLR 2023"


def clipsep() -> Recipe:
    """CLIPSep as trained on MUSIC (section 4.1, Appendix C): image queries, weighted BCE on binary masks, 200 k steps."""
    return Recipe(
        name="clipsep",
        citation=_CITATION,
        supervision="none",
        encoder="clip-vit-b32",
        signal=SignalSettings(),
        mixing=MixingConfig(num_sources=2, num_frames=3),
        model=Config(embedding_dim=512, unet=UNetConfig(out_channels=32)),
        optimizer=OptimizerConfig(
            learning_rate=1e-3, warmup_steps=5000, decay="linear", decay_steps=100_000, final_factor=0.1, gradient_clip=1.0
        ),
        training=TrainingConfig(num_steps=200_000, batch_size=32, checkpoint_steps=1000, validation_steps=10_000),
        protocol="clipsep-music",
        claims=(("text snr mean", 5.49), ("text snr median", 4.97), ("image snr mean", 7.03), ("image snr median", 5.85)),
    )


def clipsep_avmini() -> Recipe:
    """CLIPSep in a size that two CPU cores train in hours, with the `lite` encoder and augmentation: the recipe of the default model."""
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
            resample_probability=0.5, room_probability=0.3, equalizer_probability=0.5, equalizer_db=6.0, codec_probability=0.15
        ),
        model=Config(
            embedding_dim=384,
            unet=UNetConfig(base_width=32, max_width=256, upsampling="transposed", out_channels=32),
            normalize_query=True,
            query_scale=20.0,
        ),
        loss=MaskLoss(absent_weight=0.5),
        optimizer=OptimizerConfig(learning_rate=1.5e-3, warmup_steps=100, decay="cosine", final_factor=0.02, gradient_clip=1.0),
        training=TrainingConfig(
            num_steps=3400, batch_size=16, precision="bf16", ema_decay=0.998, checkpoint_steps=100, validation_steps=500
        ),
        protocol="avmini",
    )
