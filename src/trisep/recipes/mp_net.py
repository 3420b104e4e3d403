"""MP-Net (Xu et al., ICCV 2019) on MUSIC, as HFRA's Table 1 quotes it, and a size for a CPU.

The paper that HFRA cites for it is another one; this is the method of that name.
"""

from dataclasses import replace

from trisep.losses.masks import MaskLoss
from trisep.models.mp_net import Config
from trisep.networks.audio_unet import UNetConfig
from trisep.recipes import OptimizerConfig, Recipe, clipsep, hfra

_CITATION = "Xu et al., Recursive Visual Sound Separation Using Minus-Plus Net, ICCV 2019"


def mp_net() -> Recipe:
    """MP-Net with binary masks on the mixtures of HFRA's Table 1.

    The optimiser is that of Sound of Pixels' public code, SGD with a momentum of 0.9 at 1e-3. Ours: that rate for the
    whole, too, where the image network, which starts from ImageNet (`--init resnet18-….pth`), has a tenth of it there;
    three frames, and 150 000 steps of 32 mixtures.
    """
    base = hfra.hfra_hierarchical()
    return replace(
        base,
        name="mp-net",
        citation=_CITATION,
        encoder="none",
        query="frames",
        mixing=replace(base.mixing, num_frames=3),
        model=Config(),
        loss=MaskLoss(),
        optimizer=OptimizerConfig(kind="sgd", learning_rate=1e-3),
        claims=(("sdr", 4.82), ("sir", 10.19), ("sar", 10.56)),
    )


def mp_net_avmini() -> Recipe:
    """MP-Net in a size that one CPU core trains in hours, on mixtures as in `clipsep-avmini` but for its extras."""
    base = clipsep.clipsep_avmini()
    return replace(
        base,
        name="mp-net-avmini",
        citation=_CITATION,
        encoder="none",
        query="frames",
        signal=replace(base.signal, clip_samples=32_767),
        mixing=replace(base.mixing, num_frames=1, num_absent_queries=0, interference_probability=0.0),
        model=Config(
            unet=UNetConfig(base_width=16, max_width=128, upsampling="transposed", out_channels=32), image_width=16
        ),
        loss=MaskLoss(),
    )
