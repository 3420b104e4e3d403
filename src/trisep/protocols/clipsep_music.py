"""`clipsep-music`: CLIPSep on MUSIC (section 4.1, Table 2): solos mixed with solos, only the first scored.

Source: the public code. Every clip of the test list is mixed with another one drawn by Python's generator with seed
= index: the middle 65 535 samples at 16 kHz of each, divided by 2. Masks are soft. The second estimate is 1 − mask,
which is not scored and does not change the score of the first. The ratio printed as "SDR" is museval's with
one-frame windows, which is our `snr`; the report has mean ± s.e.m. and median over mixtures. The paper prints
neither list nor seed.

Deviations: the public code replaces a clip that cannot be read by silence and leaves it out; here it is an error, or
counted. It crops 65 534 samples around (centre frame − ½) s; ours crops 65 535 around the middle of the clip, and
pads shorter clips with zeros. The text query is the mean over the paper's four templates (public code lists five,
one of them twice).
"""

from collections.abc import Iterator
from pathlib import Path

from trisep.encoders import QUERY_TEMPLATES
from trisep.protocols import Protocol, ProtocolMixture
from trisep.protocols.clip_lists import read_clips
from trisep.protocols.pairing import with_another_clip
from trisep.types import SignalSettings


def mixtures(data: Path, seed: int = 0) -> Iterator[ProtocolMixture]:
    """Yield as many mixtures as the split `test` has clips."""
    return with_another_clip(read_clips(data, {"test"}, parts="one"), seed)


PROTOCOL = Protocol(
    name="clipsep-music",
    pairs=mixtures,
    signal=SignalSettings(),
    templates=QUERY_TEMPLATES,
    num_scored=1,
    headline=("snr", "snri"),
)
