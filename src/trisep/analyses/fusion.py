"""`trisep analyze fusion`: what each class gains by one evaluation over another, for example late over middle fusion.

Source: HFRA, Fig. 1. Intervals and tests are over mixtures, class by class, and not corrected for the number of
classes; the paper gives neither. Both evaluations must be of the same mixtures; no network runs here.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from trisep.evaluation.compare import Scored, paired_over_mixtures, per_class, read_both
from trisep.evaluation.table import metric_name, write_report
from trisep.figures.analysis import draw_gains


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassGain:
    """What one class gains, or what all of them gain together."""

    label: str
    sources: int
    mean_a: float
    mean_b: float
    gain: float
    """Mean of A − B in dB over mixtures, each represented by the mean of its sources of the class."""
    low: float
    high: float
    p_value: float
    """p-value of the sign-flip permutation test."""


def analyze_fusion(
    a: Path,
    b: Path,
    *,
    out: Path,
    metric: str = "sdri",
    system_a: str | None = None,
    system_b: str | None = None,
    seed: int = 0,
) -> str:
    """Return a table of what each class gains by evaluation `a` over `b`.

    It also writes fusion.md, fusion.csv and fusion.png to `out`. Arguments and errors are those of `compare`.
    """
    first, second, both = read_both(a, b, metric=metric, system_a=system_a, system_b=system_b)
    gains = class_gains(first, second, both, seed=seed)
    shown = metric_name(metric)
    text = markdown(first, second, gains, metric=shown, num_skipped=len(first.sources) - len(both))
    write_report(out, "fusion", text, [asdict(gain) for gain in gains])
    intervals = {gain.label: (gain.gain, gain.low, gain.high) for gain in gains[1:]}
    draw_gains(intervals, out / "fusion.png", metric=shown, names=(first.name, second.name), overall=gains[0].gain)
    return text


def class_gains(a: Scored, b: Scored, both: list[tuple[int, int]], *, seed: int) -> list[ClassGain]:
    """Return the gain over all sources, then that of each class, beginning with the class that gains most."""
    gains = []
    for result in per_class(a, b, both):
        keys = both if result.label == "all" else [key for key in both if a.sources[key][0] == result.label]
        test, _ = paired_over_mixtures(a, b, keys, seed=seed)
        gains.append(
            ClassGain(
                label=result.label,
                sources=result.sources,
                mean_a=result.mean_a,
                mean_b=result.mean_b,
                gain=test.mean_difference,
                low=test.interval.low,
                high=test.interval.high,
                p_value=test.p_value,
            )
        )
    return [gains[0], *sorted(gains[1:], key=lambda gain: -gain.gain)]


def markdown(a: Scored, b: Scored, gains: Sequence[ClassGain], *, metric: str, num_skipped: int) -> str:
    """Return the gains as a Markdown table."""
    lines = [f"**A: {a.name}**", "", f"**B: {b.name}**", ""]
    lines += [
        f"{gains[0].sources} sources compared, {num_skipped} skipped in one or both. Intervals (95 %, bootstrap) and p "
        f"(sign-flip permutation) are over mixtures, each class by itself; with {len(gains) - 1} classes, one in "
        "twenty is below 0.05 by chance.",
        "",
        f"| class | sources | A {metric} | B {metric} | A − B [95 %] | p |",
        "|---|---:|---:|---:|---|---:|",
    ]
    lines += [
        f"| {one.label} | {one.sources} | {one.mean_a:.2f} | {one.mean_b:.2f} | {one.gain:+.2f} [{one.low:+.2f}, "
        f"{one.high:+.2f}] "
        f"| {one.p_value:.2g} |"
        for one in gains
    ]
    return "\n".join(lines)
