"""What the papers' tables say of one system against another, and whether it is so in miniature."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rows import Row, find
from scores import PROTOCOLS, difference

from trisep.metrics import PairedTest

SIGNIFICANT = 0.05
Verdict = Literal["appears", "does not appear", "cannot be told", "not run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ordering:
    """A paper's claim that one arm separates better than another, asked alike."""

    better: str
    worse: str
    query: str
    published: str
    """The paper's numbers, in dB, better against worse."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What became of a claim under one protocol."""

    ordering: Ordering
    protocol: str
    test: PairedTest | None
    """Better minus worse, in dB of SDR improvement."""
    verdict: Verdict


ORDERINGS = (
    Ordering(
        better="clipsep-nit",
        worse="clipsep",
        query="text",
        published="MUSIC+ 10.27 : 9.71, VGGSound-Clean+ 3.05 : 2.76",
    ),
    Ordering(better="clipsep-text", worse="clipsep", query="text", published="MUSIC 7.91 : 5.49"),
    Ordering(better="clipsep-hybrid", worse="clipsep-text", query="text", published="MUSIC 8.36 : 7.91"),
    Ordering(better="labelsep", worse="clipsep", query="text", published="MUSIC 8.18 : 5.49"),
    Ordering(better="pit", worse="clipsep", query="text", published="MUSIC 8.68 : 5.49"),
    Ordering(better="clipsep", worse="sound-of-pixels", query="image", published="MUSIC 7.03 : 6.59"),
    Ordering(better="hfra-hierarchical", worse="hfra-late", query="image", published="MUSIC 6.65 : 5.86"),
    Ordering(better="hfra-late", worse="hfra-middle", query="image", published="MUSIC 5.86 : 5.57"),
    Ordering(better="hfra-hierarchical", worse="hfra-middle", query="image", published="MUSIC 6.65 : 5.57"),
    Ordering(better="hfra", worse="hfra-hierarchical", query="image", published="MUSIC 6.72 : 6.65"),
    Ordering(better="hfra-late-aligned", worse="hfra-late", query="image", published="MUSIC 6.07 : 5.86"),
    Ordering(better="mp-net", worse="sound-of-pixels", query="image", published="MUSIC 4.82 : 3.84"),
    Ordering(better="resunet-decouple", worse="wave-u-net", query="text", published="MUSIC 3.98 : 3.80"),
    Ordering(better="vast-masks", worse="vast-av-mix", query="video", published="SOLOS 5.47 : 2.94"),
    Ordering(better="vast-masks", worse="vast-sop-clip", query="video", published="SOLOS 5.47 : 4.42"),
    Ordering(better="avsgs", worse="co-separation", query="boxes", published="MUSIC 9.04 : 7.38"),
)
"""CLIPSep's Tables 1 to 3 are mean SNR (the paper calls it SDR), HFRA's Tables 1 and 6 BSS Eval's SDR, VAST's Tables 2,
4 and 5 (in the row without alignment) its improvement."""


def find_out(rows: Sequence[Row]) -> list[Finding]:
    """Every claim under every protocol, in the order of `ORDERINGS`."""
    return [judge(ordering, protocol, rows) for ordering in ORDERINGS for protocol in PROTOCOLS]


def judge(ordering: Ordering, protocol: str, rows: Sequence[Row]) -> Finding:
    """Whether a claim holds among the rows: by the sign of the difference where p < 0.05, else it cannot be told."""
    better, worse = (find(rows, name, ordering.query) for name in (ordering.better, ordering.worse))
    test = difference(better.results[protocol], worse.results[protocol]) if better and worse else None
    verdict: Verdict = "not run"
    if test is not None:
        verdict = (
            "cannot be told"
            if test.p_value >= SIGNIFICANT
            else "appears"
            if test.mean_difference > 0
            else "does not appear"
        )
    return Finding(ordering=ordering, protocol=protocol, test=test, verdict=verdict)
