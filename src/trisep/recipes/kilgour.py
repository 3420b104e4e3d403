"""Text or a sound as query (Kilgour et al., Interspeech 2022), which CLIPSep's Table 1 names.

A query is a random mix of what is heard in another stretch of the clip and of its label in words, in a space that both
share; then either can be asked with. The paper trains that space (SoundWords) and SoundFilter on waveforms; here the
space is that of `lite`, frozen, and the network that of `sound_filter.py`.
"""

from dataclasses import replace

from trisep.encoders import TRAINING_TEMPLATES
from trisep.recipes import Recipe, sound_filter

_CITATION = "Kilgour et al., Text-Driven Separation of Arbitrary Sounds, Interspeech 2022"


def kilgour() -> Recipe:
    """Text/audio-queried separation on ESC-50; the paper's numbers are for mixtures of two sounds of its own data."""
    return replace(
        sound_filter.sound_filter(),
        name="kilgour",
        citation=_CITATION,
        supervision="labels",
        query="sound_text",
        templates=TRAINING_TEMPLATES,
        claims=(("text si_sdr", 9.1), ("sound si_sdr", 10.1)),
    )


def kilgour_avmini() -> Recipe:
    """The same in a size that two CPU cores train in hours."""
    return replace(
        sound_filter.sound_filter_avmini(),
        name="kilgour-avmini",
        citation=_CITATION,
        supervision="labels",
        query="sound_text",
        templates=TRAINING_TEMPLATES,
    )
