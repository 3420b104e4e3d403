"""SoundFilter (Gfeller et al., ICASSP 2021), which CLIPSep's Table 1 names: an example sound is the query.

Two crops of one recording that do not overlap: one is mixed with others, the other one says which is wanted. No label
is needed. The paper trains a network on waveforms and, with it, the network that listens to the example. Here the
example is heard by the frozen audio tower of `lite` and the network is the U-Net of the other systems, so that words
and pictures, which share its space, can be asked for, too.
"""

from dataclasses import replace

from trisep.models.clipsep import Config
from trisep.networks.audio_unet import UNetConfig
from trisep.recipes import Recipe, clipsep

_CITATION = "Gfeller et al., One-Shot Conditional Audio Filtering of Arbitrary Sounds, ICASSP 2021"


def sound_filter() -> Recipe:
    """SoundFilter on ESC-50, whose clips of 5 s hold one sound, in CLIPSep's setting, with targets of 2 s."""
    base = clipsep.clipsep()
    return replace(
        base,
        name="sound-filter",
        citation=_CITATION,
        encoder="lite",
        signal=replace(base.signal, clip_samples=32767),
        query="sound",
        model=Config(embedding_dim=384, unet=UNetConfig(out_channels=32), normalize_query=True, query_scale=20.0),
        protocol="esc50",
        claims=(),
    )


def sound_filter_avmini() -> Recipe:
    """SoundFilter in a size that two CPU cores train in hours, on targets of 2 s out of clips of 8 s."""
    base = clipsep.clipsep_avmini()
    return replace(
        base,
        name="sound-filter-avmini",
        citation=_CITATION,
        signal=replace(base.signal, clip_samples=32767),
        query="sound",
    )
