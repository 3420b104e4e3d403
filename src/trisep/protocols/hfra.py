"""`hfra`: HFRA's test on MUSIC (BMVC 2025, section 4.1 and Table 1): five seconds of each clip at 11 625 Hz.

The paper takes the split of Sound of Pixels as far as the videos are still online (118 clips to test, all solos), a
crop of 5 s from the middle and the frame in the middle, and reports SDR, SIR and SAR. It prints neither the pairs nor
how they are scored. Ours: pairs and scoring as in `sop`. The rate is the paper's; other systems of its tables were
trained at it, too.
"""

from dataclasses import replace

from trisep.protocols import sop
from trisep.types import SignalSettings

_RATE_HZ = 11625

PROTOCOL = replace(
    sop.PROTOCOL,
    name="hfra",
    signal=SignalSettings(sample_rate_hz=_RATE_HZ, clip_samples=5 * _RATE_HZ),
    num_frames=1,
    headline=("sdr", "sir", "sar"),
)
