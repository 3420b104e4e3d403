"""AudioScope (Tzinis et al., ICLR 2021), which CLIPSep's Table 1 names: what is on the screen, from mixtures alone.

The paper trains TDCN++ on five-second clips of YFCC100M. The network here is the U-Net of the other systems, and the
pictures are embedded as theirs are, so that only the method differs from `clipsep-vggsound` and `mixit`.
"""

from dataclasses import replace

from trisep.losses.on_screen import OnScreenLoss
from trisep.models.audioscope import Config
from trisep.recipes import Recipe, clipsep, mixit

_CITATION = (
    "Tzinis et al., Into the Wild with AudioScope: Unsupervised Audio-Visual Separation of On-Screen Sounds, ICLR 2021"
)


def audioscope() -> Recipe:
    """AudioScope on VGGSound, whose videos also hold sounds from off the screen; four sounds, in CLIPSep's setting."""
    return replace(
        clipsep.clipsep_vggsound(),
        name="audioscope",
        citation=_CITATION,
        model=Config(),
        loss=OnScreenLoss(),
        claims=(),
    )


def audioscope_avmini() -> Recipe:
    """AudioScope in a size that two CPU cores train in hours, on mixtures as in `mixit-avmini`."""
    base = mixit.mixit_queried_avmini()
    return replace(
        base,
        name="audioscope-avmini",
        citation=_CITATION,
        model=Config(embedding_dim=384, unet=base.model.unet, normalize_query=True, query_scale=20.0),
        loss=OnScreenLoss(),
    )
