"""Co-Separation (Gao & Grauman, ICCV 2019): the settings of paper and public code, and a size for a CPU.

No label of a clip is read. The classes come from a detector: the paper's knows 15 instruments and was trained on boxes
that people drew; where `trisep embed --boxes lite` found the boxes, they are ImageNet's. Numbers are those that VAST
quotes (Tables 1 to 3); whether its SDR is an improvement there, it does not say.
"""

from dataclasses import replace

from trisep.losses.co_separation import CoSeparationLoss
from trisep.mixing.mixture import MixingConfig
from trisep.models.co_separation import Config
from trisep.networks.audio_unet import UNetConfig
from trisep.recipes import OptimizerConfig, Recipe, TrainingConfig, clipsep
from trisep.types import SignalSettings

LITE_LABELS = 1014
"""Number of `lite`'s classes, and the one for a picture without a box."""


def co_separation() -> Recipe:
    """Co-Separation on MUSIC, on boxes from a detector's list: `trisep embed store --encoder lite --boxes CSV`.

    Its image network starts from ImageNet: `--init resnet18-….pth`.

    Ours: all parts at one rate, where the original trains the image network at a tenth of it; one drop of the rate, at
    15 000 steps, where it has a second one at 30 000; objects of the frame nearest to the middle of the crop; no
    augmentation, and no scene image for the sounds of nothing detected. The encoder is read for its boxes alone.
    """
    return Recipe(
        name="co-separation",
        citation="Gao and Grauman, Co-Separating Sounds of Visual Objects, ICCV 2019",
        supervision="none",
        encoder="lite",
        signal=SignalSettings(sample_rate_hz=11025, window_samples=1022, mixture_level_db=None),
        mixing=MixingConfig(num_sources=2, num_frames=1, source_gain_db=(0.0, 0.0)),
        query="cuts",
        model=Config(),
        loss=CoSeparationLoss(),
        optimizer=OptimizerConfig(
            learning_rate=1e-4, weight_decay=1e-4, decay="step", decay_steps=15_000, final_factor=0.1
        ),
        training=TrainingConfig(num_steps=35_000, batch_size=80, checkpoint_steps=500, validation_steps=1000),
        protocol="vast",
        claims=(
            ("music solo sdr", 7.38),
            ("music duet sdr", 7.42),
            ("solos sdr", 7.11),
            ("audioset sdr", 4.26),
        ),
    )


def co_separation_avmini() -> Recipe:
    """Co-Separation in a size that two CPU cores train in an hour, on the boxes that `lite` finds."""
    base = clipsep.clipsep_avmini()
    unet = UNetConfig(base_width=32, max_width=256, upsampling="transposed", out_channels=1)
    return replace(
        base,
        name="co-separation-avmini",
        citation=co_separation().citation,
        signal=replace(base.signal, clip_samples=32767),
        mixing=replace(base.mixing, num_frames=1, num_absent_queries=0, interference_probability=0.0),
        query="cuts",
        model=Config(num_labels=LITE_LABELS, object_channels=128, unet=unet, image_width=16),
        loss=CoSeparationLoss(),
        training=replace(base.training, num_steps=1500, batch_size=8, ema_decay=0.995, validation_steps=500),
    )
