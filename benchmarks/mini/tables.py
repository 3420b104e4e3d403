"""The tables of the miniature benchmark's page, as Markdown."""

from collections.abc import Sequence

from orderings import Finding
from rows import Row, find
from scores import PROTOCOLS, Measured, difference

from trisep.metrics import PairedTest

REFERENCE = "clipsep"
"""The arm that every row is compared with."""
_ORACLE = " \\*"


def results_table(rows: Sequence[Row]) -> str:
    """All rows with everything that is known of them."""
    heads = ["system", "asked with"]
    for title in PROTOCOLS.values():
        heads += [f"{title}: SDRi [95 %]", "SIRi / SAR", f"− {REFERENCE} (p)", "each seed"]
    lines = _head([*heads, "s / step", "parameters", "supervision", "note"])
    for row in rows:
        reference = find(rows, REFERENCE, row.query) or (find(rows, REFERENCE, "image") if row.query else None)
        cells = [row.name + _ORACLE * row.oracle, row.asked]
        for name in PROTOCOLS:
            result = row.results[name]
            test = difference(result, reference.results[name]) if reference and reference is not row else None
            seeds = " · ".join(decibels(value) for value in result.seed_means.values()) if row.seconds_per_step else "–"
            ratios = f"{decibels(result.mean('siri'))} / {decibels(result.mean('sar'))}"
            cells += [
                mean_and_interval(result),
                ratios,
                f"{test.mean_difference:+.2f} ({_p(test)})" if test else "–",
                seeds,
            ]
        speed = f"{row.seconds_per_step:.2f}" if row.seconds_per_step else "–"
        size = f"{row.num_parameters / 1e6:.2f} M" if row.num_parameters else "–"
        lines.append(_line([*cells, speed, size, row.supervision or "–", row.note]))
    return "\n".join(lines)


def orderings_table(findings: Sequence[Finding]) -> str:
    """Every claim of the papers under every protocol."""
    lines = _head(["claim", "asked with", "published (dB)", "on", "difference in SDRi [95 %]", "p", "verdict"])
    for finding in findings:
        claim = finding.ordering
        cells = [f"{claim.better} > {claim.worse}", claim.query, claim.published, PROTOCOLS[finding.protocol]]
        lines.append(_line([*cells, *_test_cells(finding.test), finding.verdict]))
    return "\n".join(lines)


def gaps_table(rows: Sequence[Row]) -> str:
    """Pictures minus words, for every system that can be asked with both."""
    heads = [head for title in PROTOCOLS.values() for head in (f"{title}: image − text, SDRi [95 %]", "p")]
    lines = _head(["system", *heads])
    for row in rows:
        other = find(rows, row.name, "image")
        if row.query == "text" and other is not None:
            tests = [difference(other.results[name], row.results[name]) for name in PROTOCOLS]
            lines.append(_line([row.name, *(cell for test in tests for cell in _test_cells(test))]))
    return "\n".join(lines)


def mean_and_interval(result: Measured) -> str:
    """SDR improvement with its interval, in dB."""
    interval = result.interval("sdri")
    return f"{interval.mean:.2f} [{interval.low:.2f}, {interval.high:.2f}]" if interval else "–"


def decibels(value: float | None) -> str:
    """A number in dB, or a dash."""
    return "–" if value is None else f"{value:.2f}"


def _head(cells: Sequence[str]) -> list[str]:
    return [_line(cells), "|" + "---|" * len(cells)]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _test_cells(test: PairedTest | None) -> list[str]:
    if test is None:
        return ["–", "–"]
    return [f"{test.mean_difference:+.2f} [{test.interval.low:+.2f}, {test.interval.high:+.2f}]", _p(test)]


def _p(test: PairedTest) -> str:
    return "< 0.001" if test.p_value < 0.001 else f"{test.p_value:.3f}"
