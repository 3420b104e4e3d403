"""`esc50`: ESC-50 by folds (CLIPSep, Appendix H): sounds without pictures, asked for in words.

The paper fine-tunes on ESC-50 and reports one SNR; it prints neither the fold that is held out nor the pairs, and
public code has no list. Ours: every clip of a fold with one of another class from the same fold, drawn seeded, so that
a model is only scored on what it was not trained on: give a list of the folds that were held out. Each fold is also
reported apart. 16 kHz, the middle 65 535 samples, each divided by 2, soft masks, only the first scored.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from trisep.protocols import ProtocolMixture, clipsep_music
from trisep.protocols.clip_lists import read_clips, require_two_labels
from trisep.protocols.pairing import by_group, with_another_class

FOLDS = tuple(f"{prefix}{number}" for prefix in ("", "fold", "fold ", "fold-") for number in range(1, 6))
"""Names of splits that are folds."""


def mixtures(data: Path, seed: int = 0) -> Iterator[ProtocolMixture]:
    """As many mixtures as the folds in the list have clips."""
    first_index = 0
    for sources in by_group(read_clips(data, FOLDS, group_by_split=True)).values():
        require_two_labels(sources, data)
        yield from with_another_class(sources, seed, first_index=first_index)
        first_index += len(sources)


PROTOCOL = replace(clipsep_music.PROTOCOL, name="esc50", pairs=mixtures)
