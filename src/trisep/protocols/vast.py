"""`vast`: pairs of clips of different classes, both scored (VAST, section 4 and Tables 1 to 3).

The paper reports SDR as an improvement over the mixture (NSDR in its preprint), SIR and SAR as they are, and mixes two
clips of different classes. It does not print how pairs are drawn, their number or the segments. The public code draws
pairs by class in training, too; here classes choose pairs in evaluation only. Ours: every clip of the split `test` is
once the first source, and its partner is drawn uniformly from all clips of other classes; the middle 65 535 samples at
11 025 Hz; soft masks; K = 3 frames 3 s apart (public code: 24 frames at 8 fps). The text query is "person playing a …"
(paper). Of what `trisep data` wrote, clips of several labels are left out: MUSIC's duets have a protocol of their own.
"""

from collections.abc import Iterator
from pathlib import Path

from trisep.protocols import Protocol, ProtocolMixture
from trisep.protocols.clip_lists import read_clips, require_two_labels
from trisep.protocols.pairing import with_another_class
from trisep.protocols.sop import SIGNAL


def mixtures(data: Path, seed: int = 0) -> Iterator[ProtocolMixture]:
    """Yield as many mixtures as the split `test` has clips."""
    sources = read_clips(data, {"test"}, parts="one")
    require_two_labels(sources, data)
    return with_another_class(sources, seed)


PROTOCOL = Protocol(
    name="vast",
    pairs=mixtures,
    signal=SIGNAL,
    templates=("person playing a {}",),
    frame_spacing_seconds=3.0,
    headline=("sdri", "sir", "sar"),
)
