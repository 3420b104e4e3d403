"""Wave-U-Net (Stoller et al., ISMIR 2018) on MUSIC, as HFRA's Table 1 quotes it, and a size for a CPU.

The scores use the known sources: the estimates are put in the order that fits them best.
"""

from dataclasses import replace

from trisep.losses.waveform import WaveformLoss
from trisep.models.wave_u_net import Config, WaveUNetConfig
from trisep.recipes import OptimizerConfig, Recipe, TrainingConfig, clipsep, hfra

_CITATION = (
    "Stoller et al., Wave-U-Net: A Multi-Scale Neural Network for End-to-End Audio Source Separation, ISMIR 2018"
)


def wave_u_net() -> Recipe:
    """Wave-U-Net as published, at the rate and on the mixtures of HFRA's Table 1.

    147 443 samples in, of which 16 389 are estimated. Ours: the rate (22 050 Hz there), 150 000 steps in the place of
    early stopping, the last 50 000 of them at 1e-5 as in the paper's fine-tuning, whose batch of 32 is left out, and no
    augmentation by gains.
    """
    base = hfra.hfra_hierarchical()
    return replace(
        base,
        name="wave-u-net",
        citation=_CITATION,
        encoder="none",
        query="none",
        signal=replace(base.signal, clip_samples=147_443),
        model=Config(),
        loss=WaveformLoss(kind="squared"),
        optimizer=OptimizerConfig(learning_rate=1e-4, decay="step", decay_steps=100_000, final_factor=0.1),
        training=TrainingConfig(num_steps=150_000, batch_size=16, checkpoint_steps=1000, validation_steps=7500),
        claims=(("sdr", 3.80), ("sir", 6.75), ("sar", 6.62)),
    )


def wave_u_net_queried() -> Recipe:
    """Wave-U-Net that is asked with pictures, on the same mixtures; ours. Each estimate is that of its query."""
    return replace(
        wave_u_net(),
        name="wave-u-net-queried",
        encoder=hfra.hfra_hierarchical().encoder,
        query="image",
        model=Config(embedding_dim=512),
        claims=(),
    )


def wave_u_net_queried_avmini() -> Recipe:
    """Wave-U-Net that is asked with pictures, in a size that one CPU core trains in hours."""
    base = wave_u_net_avmini()
    model = replace(base.model, embedding_dim=384, normalize_query=True, query_scale=20.0)  # type: ignore[type-var]
    return replace(base, name="wave-u-net-queried-avmini", encoder="lite", query="image", model=model)


def wave_u_net_avmini() -> Recipe:
    """Wave-U-Net in a size that one CPU core trains in hours, on mixtures as in `clipsep-avmini` but for its extras.

    Nine levels, whose context of half a second on either side leaves half of a crop of 2 s to be estimated. In
    single precision, as a processor's convolutions of one dimension are many times slower in bfloat16.
    """
    base = clipsep.clipsep_avmini()
    return replace(
        base,
        name="wave-u-net-avmini",
        citation=_CITATION,
        encoder="none",
        query="none",
        signal=replace(base.signal, clip_samples=32_767),
        mixing=replace(base.mixing, num_absent_queries=0, interference_probability=0.0),
        model=Config(unet=WaveUNetConfig(num_levels=9, extra_filters=12)),
        loss=WaveformLoss(kind="squared"),
        training=replace(base.training, precision="fp32"),
    )
