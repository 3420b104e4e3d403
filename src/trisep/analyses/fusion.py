"""`trisep analyze fusion`: what each class gains by one evaluation over another, for example late over middle fusion.

Source: HFRA, Fig. 1. Intervals and tests are over mixtures, class by class, and not corrected for the number of
classes; the paper gives neither. With the sounds at hand their acoustic properties are measured, too, and set against
the gains. Both evaluations must be of the same mixtures; no network runs here.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from trisep.analyses.acoustics import PROPERTIES, Acoustics, correlations, measure
from trisep.evaluation.compare import Scored, paired_over_mixtures, per_class, read_both
from trisep.evaluation.owner import require_own_report
from trisep.evaluation.table import cell, metric_name, write_report, write_rows
from trisep.figures.acoustics import draw_acoustics
from trisep.figures.analysis import draw_gains
from trisep.media.audio import read_audio

_RATE_HZ = 16_000
TITLES = {
    "attack_seconds": "attack time (s)",
    "flatness": "spectral flatness",
    "harmonicity": "harmonicity",
    "stationarity": "stationarity",
}


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
    media: Path | None = None,
    seed: int = 0,
) -> str:
    """Return a table of what each class gains by evaluation `a` over `b`.

    It also writes fusion.md, fusion.csv and fusion.png to `out`. With `media`, the folder that the paths of the tables
    are relative to, it measures the sounds, and writes fusion_acoustics.csv and fusion_acoustics.png. Arguments and
    errors are those of `compare`, and MediaError where a sound cannot be read.
    """
    columns = [field.name for field in fields(ClassGain)]
    beside = () if media is None else ("fusion_acoustics.csv", "fusion_acoustics.png")
    require_own_report(out, "fusion", columns, verb="analyze fusion", beside=beside)
    first, second, both = read_both(a, b, metric=metric, system_a=system_a, system_b=system_b)
    gains = class_gains(first, second, both, seed=seed)
    shown = metric_name(metric)
    text = markdown(first, second, gains, metric=shown, num_skipped=len(first.sources) - len(both))
    if media is not None:
        properties = class_properties(first, both, media)
        by_class = {gain.label: gain.gain for gain in gains[1:]}
        text += "\n\n" + acoustics_markdown(by_class, properties)
    write_report(out, "fusion", text, [asdict(gain) for gain in gains])
    if media is not None:
        write_rows(
            out / "fusion_acoustics.csv",
            [{"label": label, "gain": by_class[label], **values} for label, values in properties.items()],
        )
        names = (first.name, second.name)
        draw_acoustics(by_class, properties, TITLES, out / "fusion_acoustics.png", metric=shown, names=names)
    intervals = {gain.label: (gain.gain, gain.low, gain.high) for gain in gains[1:]}
    draw_gains(intervals, out / "fusion.png", metric=shown, names=(first.name, second.name), overall=gains[0].gain)
    return text


def class_gains(a: Scored, b: Scored, both: list[tuple[int, int]], *, seed: int) -> list[ClassGain]:
    """Return the gain over all sources, then that of each class, beginning with the class that gains most."""
    gains = []
    for index, result in enumerate(per_class(a, b, both)):
        # The first is of all; a class may have that name, too.
        keys = [key for key in both if index == 0 or a.sources[key][0] == result.label]
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


def class_properties(scored: Scored, keys: Sequence[tuple[int, int]], media: Path) -> dict[str, dict[str, float]]:
    """Return the mean acoustic properties of each class's sounds, each file once, over its whole length."""
    files: dict[str, dict[str, None]] = defaultdict(dict)
    for key in keys:
        label, _, path, *_ = scored.sources[key]
        files[label].setdefault(path)
    return {label: _mean([_measured(media / path) for path in paths]) for label, paths in sorted(files.items())}


def _measured(path: Path) -> Acoustics:
    return measure(read_audio(path, sample_rate_hz=_RATE_HZ, mono=True).samples[0], _RATE_HZ)


def _mean(measured: Sequence[Acoustics]) -> dict[str, float]:
    """Return the mean of what is finite, nan where nothing is."""
    means = {}
    for name in PROPERTIES:
        values = np.array([getattr(one, name) for one in measured])
        finite = values[np.isfinite(values)]
        means[name] = float(finite.mean()) if finite.size else float("nan")
    return means


def acoustics_markdown(gains: Mapping[str, float], properties: Mapping[str, Mapping[str, float]]) -> str:
    """Return the rank correlations of the gains with the properties, then the properties, as Markdown tables."""
    lines = ["| property | Spearman's ρ with A − B | p | classes |", "|---|---:|---:|---:|"]
    for name, (rho, p_value, number) in correlations(gains, properties).items():
        found = f"{rho:+.2f} | {p_value:.2g}" if np.isfinite(rho) else "– | –"  # fewer than three classes, or all alike
        lines.append(f"| {TITLES[name]} | {found} | {number} |")
    lines += ["", f"| class | A − B | {' | '.join(TITLES.values())} |", "|---|---:" + "|---:" * len(TITLES) + "|"]
    for label, gain in gains.items():
        cells = " | ".join(f"{properties[label][name]:.3f}" for name in TITLES)
        lines.append(f"| {cell(label)} | {gain:+.2f} | {cells} |")
    return "\n".join(lines)


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
        f"| {cell(one.label)} | {one.sources} | {one.mean_a:.2f} | {one.mean_b:.2f} | {one.gain:+.2f} [{one.low:+.2f}, "
        f"{one.high:+.2f}] "
        f"| {one.p_value:.2g} |"
        for one in gains
    ]
    return "\n".join(lines)
