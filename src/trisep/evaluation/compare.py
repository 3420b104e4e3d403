"""The comparison of two evaluations of the same mixtures: paired differences, tests, a win rate per class, a figure.

Sources of one mixture are not independent, so tests and intervals are over mixtures, each represented by the mean of
its sources' differences. No model runs here.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.stats import wilcoxon

from trisep.errors import ConfigError, MediaError
from trisep.evaluation.journal import COLUMNS
from trisep.evaluation.owner import require_own_report
from trisep.evaluation.table import cell, metric_name, require_metric, write_report
from trisep.figures.comparison import draw_comparison
from trisep.media.records import read_json
from trisep.media.tables import read_rows
from trisep.metrics import PairedTest, paired_test

_PAIRING = ("label", "other_label", "path", "other_path", "start", "interference")
"""The columns that must be the same for each source in both tables."""
_SETTINGS = ("protocol", "sample_rate_hz")
"""The settings that must be the same in both evaluations, where both have a summary."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """The scores of one system, read from a table."""

    name: str
    """Name of the table and of the system."""
    sources: Mapping[tuple[int, int], tuple[str, ...]]
    """(mixture, source) → its values in the columns of `_PAIRING`."""
    scores: Mapping[tuple[int, int], float]
    """(mixture, source) → its score, for sources with a finite score."""
    settings: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassResult:
    """How two systems differ on the sources of one class, or on all sources."""

    label: str
    sources: int
    wins: int
    """Number of sources on which A is better."""
    ties: int
    win_rate: float
    """Wins and half of the ties, as a share of all sources; 0 to 1."""
    mean_a: float
    mean_b: float
    mean_difference: float
    """Mean of A − B in dB, over sources."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """The result of comparing two evaluations."""

    text: str
    """The comparison as Markdown."""
    results: list[ClassResult]
    """The result for all sources, then that for each class."""
    test: PairedTest
    """Test and interval of A − B over mixtures."""
    p_wilcoxon: float


def compare(
    a: Path,
    b: Path,
    *,
    metric: str = "sdri",
    system_a: str | None = None,
    system_b: str | None = None,
    out: Path | None = None,
    seed: int = 0,
) -> Comparison:
    """Compare two evaluations of the same mixtures, source by source.

    Args:
        a: a folder or table that `evaluate` wrote.
        b: another one, or the same one with `system_b`.
        metric: the column that is compared.
        system_a: which system of `a`; None is its first.
        system_b: which system of `b`; None is its first.
        out: folder for comparison.md, comparison.csv and comparison.png; None writes nothing.
        seed: seed of the bootstrap and of the permutation test.

    Raises MediaError or ConfigError where the two are not evaluations of the same mixtures, and ConfigError for a file
    in the place of an output that is no earlier comparison.
    """
    if out is not None:
        require_own_report(out, "comparison", [field.name for field in fields(ClassResult)], verb="compare")
    first, second, both = read_both(a, b, metric=metric, system_a=system_a, system_b=system_b)
    test, p_wilcoxon = paired_over_mixtures(first, second, both, seed=seed)
    results = per_class(first, second, both)
    num_skipped = len(first.sources) - len(both)
    text = markdown(first, second, results, test, p_wilcoxon, metric=metric, num_skipped=num_skipped)
    if out is not None:
        _write(out, text, results, first, second, both, metric)
    return Comparison(text=text, results=results, test=test, p_wilcoxon=p_wilcoxon)


def read_both(
    a: Path, b: Path, *, metric: str, system_a: str | None = None, system_b: str | None = None
) -> tuple[Scored, Scored, list[tuple[int, int]]]:
    """Read two evaluations of the same mixtures, and find the sources that have a score in both.

    Raises MediaError or ConfigError where they are not evaluations of the same mixtures.
    """
    require_metric(metric)
    first, second = read_scores(a, system_a, metric), read_scores(b, system_b, metric)
    if _table(a).resolve() == _table(b).resolve() and first.name == second.name:
        raise ConfigError(f"{a}: {first.name} would be compared with itself; name another system with --system-b")
    require_same_pairs(first, second)
    both = [key for key in first.scores if key in second.scores]
    if not both:
        raise MediaError(f"{a} and {b}: no source has a score in both; every one was skipped in one of them")
    return first, second, both


def read_scores(place: Path, system: str | None, metric: str) -> Scored:
    """Read one system's scores from an evaluation's folder or table.

    Raises MediaError or ConfigError that names what is missing.
    """
    table = _table(place)
    sources: dict[tuple[int, int], tuple[str, ...]] = {}
    scores: dict[tuple[int, int], float] = {}
    names: dict[str, None] = {}
    for row in read_rows(table, COLUMNS):
        names[row["system"]] = None
        if row["system"] != (system or next(iter(names))):
            continue
        try:
            key = int(row["mixture"]), int(row["source"])
            score = np.nan if row["skipped"] else float(row[metric])
        except ValueError as error:
            found = ", ".join(f"{column} '{row[column]}'" for column in ("mixture", "source", metric))
            raise MediaError(
                f"{table}: expected two whole numbers and a score (or skipped), got {found}; correct the row"
            ) from error
        if key in sources:
            raise MediaError(
                f"{table}: has mixture {key[0]}, source {key[1]} of system '{row['system']}' twice; remove a row"
            )
        sources[key] = tuple(row[column] for column in _PAIRING)
        if np.isfinite(score):
            scores[key] = score
    if not names:
        raise MediaError(f"{table}: is a table without rows; expected what trisep evaluate --out wrote")
    if not sources:
        raise ConfigError(f"{table}: holds no system '{system}': expected one of {', '.join(names)}")
    name = f"{table}: {system or next(iter(names))}"
    return Scored(name=name, sources=sources, scores=scores, settings=_settings(table.with_suffix(".json")))


def require_same_pairs(a: Scored, b: Scored) -> None:
    """Raise ConfigError that names the first difference between the mixtures of two evaluations."""
    for setting in _SETTINGS:
        if setting in a.settings and setting in b.settings and a.settings[setting] != b.settings[setting]:
            raise ConfigError(
                f"{a.name} and {b.name} cannot be compared: {setting} is {a.settings[setting]} in A and "
                f"{b.settings[setting]} in B; evaluate both with the same settings"
            )
    for key in sorted({*a.sources, *b.sources}):
        mixture, source = key
        if key not in a.sources or key not in b.sources:
            where = "B" if key in a.sources else "A"
            raise ConfigError(
                f"{a.name} ({len(a.sources)} sources) and {b.name} ({len(b.sources)}) cannot be compared: "
                f"mixture {mixture}, source {source} is not in {where}; evaluate both with the same protocol, seed and "
                "--limit"
            )
        for column, ours, theirs in zip(_PAIRING, a.sources[key], b.sources[key], strict=True):
            if ours != theirs:
                raise ConfigError(
                    f"{a.name} and {b.name} cannot be compared: {column} of mixture {mixture}, source {source} is "
                    f"'{ours}' in A and '{theirs}' in B; evaluate both with the same data, protocol and seed"
                )


def paired_over_mixtures(a: Scored, b: Scored, both: list[tuple[int, int]], *, seed: int) -> tuple[PairedTest, float]:
    """Test A − B over mixtures.

    Returns the permutation test with the bootstrap interval, and the p-value of Wilcoxon's signed-rank test (1 where
    all are equal).
    """
    differences: dict[int, list[float]] = defaultdict(list)
    for key in both:
        differences[key[0]].append(a.scores[key] - b.scores[key])
    means = np.array([np.mean(values) for values in differences.values()])
    test = paired_test(means, np.zeros_like(means), generator=np.random.default_rng(seed))
    return test, float(wilcoxon(means).pvalue) if means.any() else 1.0


def per_class(a: Scored, b: Scored, both: list[tuple[int, int]]) -> list[ClassResult]:
    """Compare on all sources, then on each class, beginning with the class in which A wins most."""
    classes: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for key in both:
        classes[a.sources[key][0]].append(key)
    results = [_result(label, *(_values(scored, keys) for scored in (a, b))) for label, keys in sorted(classes.items())]
    everything = _result("all", _values(a, both), _values(b, both))
    return [everything, *sorted(results, key=lambda result: -result.win_rate)]


def markdown(
    a: Scored,
    b: Scored,
    results: list[ClassResult],
    test: PairedTest,
    p_wilcoxon: float,
    *,
    metric: str,
    num_skipped: int,
) -> str:
    """Return the comparison as Markdown."""
    name, interval = metric_name(metric), test.interval
    lines = [f"**A: {a.name}**", "", f"**B: {b.name}**", ""]
    lines += [
        f"{name}, A − B: {interval.mean:+.2f} dB, 95 % interval [{interval.low:+.2f}, {interval.high:+.2f}] (bootstrap "
        "over mixtures); "
        f"p = {p_wilcoxon:.2g} (Wilcoxon signed-rank), p = {test.p_value:.2g} (sign-flip permutation of the mean). "
        f"{results[0].sources} sources compared, {num_skipped} skipped in one or both.",
        "",
        f"| class | sources | A better | win rate | A {name} | B {name} | A − B |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {cell(one.label)} | {one.sources} | {one.wins} | {100 * one.win_rate:.0f} % | {one.mean_a:.2f} | "
        f"{one.mean_b:.2f} "
        f"| {one.mean_difference:+.2f} |"
        for one in results
    ]
    return "\n".join(lines)


def _table(place: Path) -> Path:
    """Return the table of an evaluation: `place` itself, or the only table in that folder."""
    if not place.is_dir():
        if not place.is_file():
            raise MediaError(f"{place}: no such folder or table; give what trisep evaluate --out wrote")
        return place
    tables = [
        path
        for path in sorted(place.glob("*.csv"))
        if path.name != "pairs.csv" and not path.name.endswith(".partial.csv")
    ]
    if len(tables) != 1:
        found = (
            f"{len(tables)} tables ({', '.join(path.name for path in tables)}): name one of them"
            if tables
            else "no table"
        )
        raise MediaError(f"{place}: holds {found}; expected what trisep evaluate --out wrote")
    return tables[0]


def _settings(summary: Path) -> dict[str, Any]:
    """Read the summary beside a table; the result is empty where there is none."""
    try:
        settings = read_json(summary) if summary.is_file() else {}
    except ConfigError as error:
        raise MediaError(f"{error}; correct or remove it") from error
    if not isinstance(settings, dict):
        raise MediaError(
            f"{summary}: expected the summary that trisep evaluate wrote, got {settings!r:.40}; correct or remove it"
        )
    return settings


def _values(scored: Scored, keys: list[tuple[int, int]]) -> Float[np.ndarray, "n"]:
    return np.array([scored.scores[key] for key in keys])


def _result(label: str, a: Float[np.ndarray, "n"], b: Float[np.ndarray, "n"]) -> ClassResult:
    wins, ties = int((a > b).sum()), int((a == b).sum())
    return ClassResult(
        label=label,
        sources=len(a),
        wins=wins,
        ties=ties,
        win_rate=(wins + ties / 2) / len(a),
        mean_a=float(a.mean()),
        mean_b=float(b.mean()),
        mean_difference=float((a - b).mean()),
    )


def _write(
    out: Path, text: str, results: list[ClassResult], a: Scored, b: Scored, both: list[tuple[int, int]], metric: str
) -> None:
    """Write the comparison's three files."""
    write_report(out, "comparison", text, [asdict(result) for result in results])
    names = tuple(scored.name.rpartition(": ")[2] for scored in (a, b))
    win_rates = {result.label: result.win_rate for result in results[1:]}
    draw_comparison(
        _values(a, both),
        _values(b, both),
        win_rates,
        out / "comparison.png",
        names=(names[0], names[1]),
        metric=metric_name(metric),
    )
