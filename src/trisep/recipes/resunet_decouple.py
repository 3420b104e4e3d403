"""ResUNetDecouple+ (Kong et al., ISMIR 2021) on MUSIC, as HFRA's Table 1 quotes it, and a size for a CPU.

The scores use the known sources: the estimates are put in the order that fits them best.
"""

from dataclasses import replace

from trisep.losses.waveform import WaveformLoss
from trisep.models.resunet_decouple import Config, ResUNetConfig
from trisep.recipes import OptimizerConfig, Recipe, TrainingConfig, clipsep, hfra

_CITATION = (
    "Kong et al., Decoupling Magnitude and Phase Estimation with Deep ResUNet for Music Source Separation, ISMIR 2021"
)


def resunet_decouple() -> Recipe:
    """ResUNetDecouple+ as published, at the rate and on the mixtures of HFRA's Table 1.

    Clips of 3 s. Ours: the sample rate, and with it HFRA's window (there 44 100 Hz, 2048 and 441 samples). The learning
    rate falls by a tenth in 15 000 steps, to 0.03 of itself in all, steadily and not at once.
    """
    base = hfra.hfra_hierarchical()
    return replace(
        base,
        name="resunet-decouple",
        citation=_CITATION,
        encoder="none",
        query="none",
        signal=replace(base.signal, clip_samples=34_875),
        model=Config(),
        loss=WaveformLoss(kind="absolute"),
        optimizer=OptimizerConfig(learning_rate=1e-3, warmup_steps=1000, decay="exponential", final_factor=0.03),
        training=TrainingConfig(num_steps=500_000, batch_size=16, checkpoint_steps=1000, validation_steps=10_000),
        claims=(("sdr", 3.98), ("sir", 7.17), ("sar", 6.91)),
    )


def resunet_decouple_avmini() -> Recipe:
    """ResUNetDecouple+ in a size that one CPU core trains in hours, on mixtures as in `clipsep-avmini`.

    Its off-screen sounds and absent queries are left out. In single precision, as a processor's convolutions of few
    channels are many times slower in bfloat16.
    """
    base = clipsep.clipsep_avmini()
    return replace(
        base,
        name="resunet-decouple-avmini",
        citation=_CITATION,
        encoder="none",
        query="none",
        signal=replace(base.signal, clip_samples=32_767),
        mixing=replace(base.mixing, num_absent_queries=0, interference_probability=0.0),
        model=Config(unet=ResUNetConfig(widths=(8, 16, 32, 64, 64), num_blocks=1, num_inner=1)),
        loss=WaveformLoss(kind="absolute"),
        training=replace(base.training, precision="fp32"),
    )
