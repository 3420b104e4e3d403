"""`esc50`: ESC-50 by folds (CLIPSep, Appendix H): sounds without pictures, with text queries.

The paper fine-tunes on ESC-50 and reports one SNR. It prints neither the fold that is held out nor the pairs, and the
public code has no list. Ours: every clip of a fold is mixed with one of another class from the same fold, drawn with a
seed, so that a model is only scored on clips it was not trained on: give a list of the folds that were held out. Each
fold is also reported apart. The signal is 16 kHz, the middle 65 535 samples, each divided by 2; masks are soft, and
only the first source is scored.
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
    """Yield as many mixtures as the folds in the list have clips."""
    first_index = 0
    for sources in by_group(read_clips(data, FOLDS, group_by_split=True)).values():
        require_two_labels(sources, data)
        yield from with_another_class(sources, seed, first_index=first_index)
        first_index += len(sources)


PROTOCOL = replace(clipsep_music.PROTOCOL, name="esc50", pairs=mixtures)
