"""`sop`: the test of Sound of Pixels on MUSIC, which most tables of the field quote.

Source: the public code. Every clip of the test list is mixed with one drawn from the whole list by Python's generator
with seed = index, so both may be of one class. The signal is the middle 65 535 samples at 11 025 Hz of each, divided by
2, with three frames 24 apart at 8 fps. Both sources are scored by BSS Eval v3; masks are binarised at ½ where the model
is trained on binary targets. The paper (ECCV 2018) prints neither the pairs nor their number and reports NSDR, SIR and
SAR; tables that quote it differ by 3.5 dB.

Ours: a clip drawn with itself is mixed with the next one; clips shorter than a segment are padded with zeros (public
code repeats them); a clip that cannot be read is an error (public code scores silence in its place). Text queries are
in no version of the original.
"""

from collections.abc import Iterator
from pathlib import Path

from trisep.protocols import Protocol, ProtocolMixture
from trisep.protocols.clip_lists import read_clips
from trisep.protocols.pairing import with_any_clip
from trisep.types import SignalSettings

SIGNAL = SignalSettings(sample_rate_hz=11025, window_samples=1022, hop_samples=256, clip_samples=65535)


def mixtures(data: Path, seed: int = 0) -> Iterator[ProtocolMixture]:
    """Yield as many mixtures as the split `test` has clips."""
    return with_any_clip(read_clips(data, {"test"}, parts="one"), seed)


PROTOCOL = Protocol(
    name="sop",
    pairs=mixtures,
    signal=SIGNAL,
    templates=("a photo of {}",),
    frame_spacing_seconds=3.0,
    binary_masks=True,
    headline=("sdr", "sdri"),
)
