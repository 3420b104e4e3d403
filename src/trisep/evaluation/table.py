"""The summary of a finished table: averages with intervals per system and group of sources, as JSON and as Markdown.

Means and medians are over sources. Sources of one mixture are not independent, so standard errors and bootstrap
intervals are those of the mean over mixtures, each represented by the mean of its sources. Infinite scores are left out
and counted.
"""

import csv
import platform
from array import array
from collections import Counter, defaultdict
from collections.abc import Mapping, MutableSequence, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from trisep.checkpoints.format import git_revision
from trisep.errors import ConfigError, MediaError, shown
from trisep.evaluation.mixtures import CLIP_FAULTS
from trisep.media.files import replacing_text, write_failure
from trisep.metrics import Scores, bootstrap_mean, summary

METRICS = tuple(entry.name for entry in fields(Scores))
_NAMES = {"si_sdr": "SI-SDR", "si_sdri": "SI-SDRi", "snri": "SNRi", "sdri": "SDRi", "siri": "SIRi", "sari": "SARi"}
_PLAIN = ("sdr", "sir", "sar", "snr")
_MOST_NAMED = 10
"""How many faulty files a table or a message names; all are in the rows and in the summary."""
_MANY_MIXTURES = 20_000
"""Beyond this many mixtures, intervals use a tenth of the resamples: they are narrow, and would take minutes."""


@dataclass(slots=True)
class _Column:
    """The sources of one system and group, read so far: eleven numbers each."""

    mixtures: MutableSequence[int] = field(default_factory=lambda: array("q"))
    values: dict[str, MutableSequence[float]] = field(
        default_factory=lambda: {metric: array("d") for metric in METRICS}
    )
    skipped: Counter[str] = field(default_factory=Counter)


def summarise(table: Path, intervals: Sequence[str], *, seed: int) -> list[dict[str, Any]]:
    """Return one entry per system and group of sources ("all" first): counts, and mean, median, s.e.m. of every metric.

    Metrics in `intervals` also get their 95 % interval (`_low`, `_high`), improvements the share above 0 (`_improved`).
    """
    entries = []
    for (system, group), column in _read(table).items():
        entry: dict[str, Any] = {
            "system": system,
            "split": group,
            "sources": len(column.mixtures),
            "skipped": column.skipped.total(),
        }
        entry["reasons"] = dict(sorted(column.skipped.items()))
        # The conversion gives NumPy's own int64, since the array's type is only another name for it.
        mixtures = np.asarray(column.mixtures).astype(np.int64)
        for metric in METRICS if column.mixtures else ():
            entry |= _statistics(np.asarray(column.values[metric]), mixtures, metric, metric in intervals, seed)
        entries.append(entry)
    return entries


def require_scores(entries: Sequence[Mapping[str, Any]], headline: Sequence[str], folder: Path) -> None:
    """Raise MediaError where no source of the clips in a folder has a finite score that the table would show."""
    if any(entry.get(metric) is not None for entry in entries for metric in headline):
        return
    reasons = [f"{reason} {count}" for reason, count in entries[0]["reasons"].items()]
    reasons = [*reasons[:_MOST_NAMED], *([f"{len(reasons) - _MOST_NAMED} more"] if len(reasons) > _MOST_NAMED else [])]
    if entries[0]["sources"]:
        reasons.append(f"without a finite {' or '.join(map(metric_name, headline))} {entries[0]['sources']}")
    raise MediaError(f"{folder}: none of its mixtures could be scored ({', '.join(reasons)}); give other clips")


def num_left_out(entries: Sequence[Mapping[str, Any]]) -> int:
    """Return how many sources have no score because a clip of their mixture is of no use; it is the same of every
    system, and each first counts all sources.
    """
    return sum(count for reason, count in entries[0]["reasons"].items() if _kind(reason) in CLIP_FAULTS)


def markdown(entries: Sequence[Mapping[str, Any]], headline: Sequence[str], *, title: str) -> str:
    """Return the summary as a Markdown table; ratios are in dB, and the suffix i means improvement over the mixture."""
    names = ["system", "sources", "n (skipped)"]
    for metric in headline:
        names += [f"{metric_name(metric)} mean [95 %]", "± s.e.m.", "median"] + ["improved"] * metric.endswith("i")
    plain = [metric for metric in _PLAIN if metric not in headline]
    names += [metric_name(metric) for metric in plain]
    lines = [f"**{title}**", "", "| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    for entry in entries:
        cells = [cell(str(entry["system"])), cell(str(entry["split"])), f"{entry['sources']} ({entry['skipped']})"]
        for metric in headline:
            low, high = _number(entry.get(f"{metric}_low")), _number(entry.get(f"{metric}_high"))
            cells += [f"{_number(entry.get(metric))} [{low}, {high}]", _number(entry.get(f"{metric}_sem"))]
            cells.append(_number(entry.get(f"{metric}_median")))
            if metric.endswith("i"):
                cells.append(_percent(entry.get(f"{metric}_improved")))
        lines.append("| " + " | ".join([*cells, *(_number(entry.get(metric)) for metric in plain)]) + " |")
    lines += [
        "",
        "Means and medians over sources; s.e.m. and intervals (bootstrap) over mixtures, each the mean of its sources. "
        "dB.",
    ]
    reasons: Counter[str] = Counter()
    for entry in entries:
        for reason, count in entry["reasons"].items() if entry["split"] == "all" else ():
            reasons[f"{entry['system']}: {_kind(reason)}"] += count
    if reasons:
        lines.append("Skipped: " + "; ".join(f"{reason} {count}" for reason, count in reasons.items()) + ".")
    named = dict.fromkeys(reason for entry in entries for reason in entry["reasons"] if _kind(reason) != reason)
    if named:
        files = [f"{shown(reason.partition(': ')[2])} ({_kind(reason)})" for reason in islice(named, _MOST_NAMED)]
        files += [f"and {len(named) - _MOST_NAMED} more"] if len(named) > _MOST_NAMED else []
        lines.append("Left out with all mixtures that hold them: " + ", ".join(files) + ".")
    return "\n".join(lines)


def cell(text: str) -> str:
    """Return a name as a cell of a Markdown table shows it: a bar in it begins no further column."""
    return shown(text).replace("|", r"\|")


def _kind(reason: str) -> str:
    """Return why rows have no scores, without the file whose fault it is."""
    return reason.partition(": ")[0]


def write_report(out: Path, name: str, text: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `name`.csv, by which the report is known (see `owner.py`), and `name`.md to a folder, which is made if it
    is absent.

    Numbers have six digits after the point. Raises MediaError when a file cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_failure(out, error) from error
    write_rows(out / f"{name}.csv", rows)
    with replacing_text(out / f"{name}.md") as file:
        file.write(text + "\n")


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a table whose columns are those of the first row; numbers have six digits after the point.

    Raises MediaError when it cannot be written.
    """
    with replacing_text(path) as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {name: f"{value:.6f}" if isinstance(value, float) else value for name, value in row.items()} for row in rows
        )


def require_metric(metric: str) -> None:
    """Raise ConfigError for anything but a metric's name."""
    if metric not in METRICS:
        raise ConfigError(f"--metric: unknown metric '{metric}': expected one of {', '.join(METRICS)}")


def metric_name(metric: str) -> str:
    """Return a metric's name as headings show it."""
    return _NAMES.get(metric, metric.upper())


def _read(table: Path) -> dict[tuple[str, str], _Column]:
    """Read the numbers of a table, by system and group; they take a few bytes for each source.

    Systems are in the order of the table, and the group "all" is the first of each; it stands for a single group, too.
    """
    columns: dict[tuple[str, str], _Column] = defaultdict(_Column)
    with table.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for group in dict.fromkeys(("all", row["group"] or "all")):
                column = columns[row["system"], group]
                if row["skipped"]:
                    column.skipped[row["skipped"]] += 1
                    continue
                column.mixtures.append(int(row["mixture"]))
                for metric, values in column.values.items():
                    values.append(float(row[metric]))
    systems = list(dict.fromkeys(system for system, _ in columns))
    if len({group for _, group in columns}) == 2:
        columns = {key: column for key, column in columns.items() if key[1] == "all"}
    return dict(sorted(columns.items(), key=lambda item: (systems.index(item[0][0]), item[0][1] != "all", item[0][1])))


def _statistics(
    values: Float[np.ndarray, "n"], mixtures: Int[np.ndarray, "n"], metric: str, interval: bool, seed: int
) -> dict[str, float | int | None]:
    """Return the statistics of one metric under the names that entries use; None where nothing is finite."""
    finite = np.isfinite(values)
    entry: dict[str, float | int | None] = {f"{metric}_infinite": int((~finite).sum())} if not finite.all() else {}
    if not finite.any():
        return entry | {metric: None, f"{metric}_median": None, f"{metric}_sem": None}
    _, owner = np.unique(mixtures[finite], return_inverse=True)
    per_mixture = np.bincount(owner, values[finite]) / np.bincount(owner)
    sem = summary(per_mixture).sem
    entry |= {metric: float(values[finite].mean()), f"{metric}_median": float(np.median(values[finite]))}
    entry |= {f"{metric}_sem": sem if np.isfinite(sem) else None}
    if interval:
        num_resamples = 1000 if len(per_mixture) > _MANY_MIXTURES else 10000
        bounds = bootstrap_mean(per_mixture, generator=np.random.default_rng(seed), num_resamples=num_resamples)
        entry |= {f"{metric}_low": bounds.low, f"{metric}_high": bounds.high}
    return entry | ({f"{metric}_improved": float((values[finite] > 0).mean())} if metric.endswith("i") else {})


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"


def environment(num_workers: int | None) -> dict[str, Any]:
    """Return what the numbers were made with, beyond the settings: versions and machine."""
    packages = ("trisep", "torch", "numpy", "scipy", "av", "soxr")
    versions = {"python": platform.python_version(), **{name: _version(name) for name in packages}}
    return {
        "git_revision": git_revision(),
        "platform": platform.platform(),
        "workers": num_workers,
        "versions": versions,
    }


def _version(package: str) -> str | None:
    """Return the version of a package; None for one that runs from a checkout."""
    with suppress(PackageNotFoundError):
        return version(package)
    return None
