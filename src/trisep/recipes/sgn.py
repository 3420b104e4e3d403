"""SGN (Mo and Tian 2024) on MUSIC, as HFRA's Table 1 quotes it, and a size for a CPU. It learns from labels."""

from dataclasses import replace

from trisep.losses.masks import MaskLoss
from trisep.losses.semantic_grouping import SemanticGroupingLoss
from trisep.models.sgn import Config
from trisep.networks.audio_unet import UNetConfig
from trisep.recipes import OptimizerConfig, Recipe, clipsep, hfra

_CITATION = "Mo and Tian, Semantic Grouping Network for Audio Source Separation, arXiv 2407.03736, 2024"


def sgn() -> Recipe:
    """SGN on the 11 instruments of MUSIC, on the mixtures of HFRA's Table 1.

    Other labels need `--set model.num_labels=…`. Ours: the optimiser is Adam at a rate of 1e-4 over HFRA's 150 000
    steps of 32 mixtures, the mask loss is L1 on ratio masks.
    """
    return replace(
        hfra.hfra_hierarchical(),
        name="sgn",
        citation=_CITATION,
        supervision="labels",
        encoder="none",
        query="label",
        model=Config(num_labels=11),
        loss=SemanticGroupingLoss(mask=MaskLoss(kind="ratio_l1", logarithmic_weight=False)),
        optimizer=OptimizerConfig(learning_rate=1e-4),
        claims=(("sdr", 5.20), ("sir", 10.81), ("sar", 10.67)),
    )


def sgn_avmini() -> Recipe:
    """SGN in a size that one CPU core trains in hours, on mixtures as in `clipsep-avmini` but for its extras.

    The labels are the 154 of avmini's manifest.
    """
    base = clipsep.clipsep_avmini()
    unet = UNetConfig(base_width=16, max_width=128, upsampling="transposed", out_channels=32)
    return replace(
        base,
        name="sgn-avmini",
        citation=_CITATION,
        supervision="labels",
        encoder="none",
        query="label",
        signal=replace(base.signal, clip_samples=32_767),
        mixing=replace(base.mixing, num_absent_queries=0, interference_probability=0.0),
        model=Config(num_labels=154, token_dim=64, num_layers=2, num_heads=4, unet=unet),
        loss=SemanticGroupingLoss(),
    )
