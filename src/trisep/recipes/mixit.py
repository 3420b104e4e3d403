"""MixIT (Wisdom et al., NeurIPS 2020), which CLIPSep's Table 1 names: a separator without queries, from mixtures alone.

The paper trains TDCN++ on waveforms of 10 s at 16 kHz with Adam at 1e-3 and batch 256. The network here is the U-Net of
the other systems, so that only the training differs from `clipsep-pit`; its scores use the known sources, too.
"""

from dataclasses import replace

from trisep.losses.mixture_invariant import MixtureInvariantLoss, QueriedMixtureInvariantLoss
from trisep.models import clipsep_nit as nit
from trisep.models import pit
from trisep.networks.audio_unet import UNetConfig
from trisep.recipes import Recipe, clipsep

_CITATION = "Wisdom et al., Unsupervised Sound Separation Using Mixture Invariant Training, NeurIPS 2020"


def mixit() -> Recipe:
    """MixIT on VGGSound, whose clips hold sounds that nobody listed; four outputs for two clips, in CLIPSep's setting.

    The paper has four outputs for two mixtures on speech, and eight on universal sounds.
    """
    return replace(
        clipsep.clipsep_pit_vggsound(),
        name="mixit",
        citation=_CITATION,
        model=pit.Config(num_sources=4),
        loss=MixtureInvariantLoss(),
        claims=(),
    )


def mixit_avmini() -> Recipe:
    """MixIT in a size that two CPU cores train in hours, on mixtures as in `clipsep-avmini` but for its extras."""
    base = clipsep.clipsep_avmini()
    return replace(
        base,
        name="mixit-avmini",
        citation=_CITATION,
        encoder=mixit().encoder,
        query="none",
        mixing=replace(base.mixing, num_absent_queries=0, interference_probability=0.0),
        model=pit.Config(
            num_sources=4, unet=UNetConfig(base_width=32, max_width=256, upsampling="transposed", out_channels=32)
        ),
        loss=MixtureInvariantLoss(),
    )


def mixit_queried() -> Recipe:
    """MixIT with query heads on VGGSound: CLIPSep-NIT's network, whose noise heads take what a recording holds besides.

    Two query heads and two free sounds, as many as `mixit` has in all. Ours.
    """
    return replace(
        clipsep.clipsep_nit(),
        name="mixit-queried",
        citation=_CITATION,
        loss=QueriedMixtureInvariantLoss(),
        claims=(),
    )


def mixit_queried_avmini() -> Recipe:
    """MixIT with query heads in a size that two CPU cores train in hours, on mixtures as in `mixit-avmini`."""
    base = mixit_avmini()
    return replace(
        base,
        name="mixit-queried-avmini",
        encoder="lite",
        query="image",
        model=nit.Config(embedding_dim=384, unet=base.model.unet, normalize_query=True, query_scale=20.0),
        loss=QueriedMixtureInvariantLoss(),
    )
