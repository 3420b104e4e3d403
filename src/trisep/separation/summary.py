"""What a separation found, in words for people: a table of its stems, and warnings about what is not in the sound."""

import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_QUERY_WIDTH = 28


def summary_lines(report: Mapping[str, Any], folder: Path) -> list[str]:
    """Return a table of a report's stems: the query, whether it is heard, its share of the sound, its files."""
    videos = (report.get("videos") or {}).get("files", {})
    rows = [("", "heard", "share", "files")]
    for stem in report["stems"]:
        name = Path(stem["file"]).stem
        heard = "yes" if stem["present"] else "probably not"
        rows.append((_short(stem["query"]), heard, _percent(stem["share"]), _files(stem["file"], videos.get(name))))
    rest = _files(report["residual"], report["without"], videos.get("without"))
    if rest:
        rows.append(("the rest", "", _percent(report["residual_share"]), rest))
    width = max(len(row[0]) for row in rows)
    lines = [f"{row[0]:{width}}  {row[1]:12}  {row[2]:>5}  {row[3]}".rstrip() for row in rows]
    return [f"{folder}/", *lines]


def warning_lines(report: Mapping[str, Any]) -> list[str]:
    """Return one line for each query that is probably not in the sound."""
    source = report["input"] or "the sound"
    return [
        f"{_short(stem['query'])}: "
        + ("probably not heard" if stem.get("understood", True) else "not understood, probably nothing of it")
        + f" in {source} (presence {stem['presence']:.2f})"
        for stem in report["stems"]
        if not stem["present"]
    ]


def _short(query: str) -> str:
    """Return a query on one line of bounded length."""
    text = "".join(" " if unicodedata.category(letter)[0] in "CZ" else letter for letter in query)
    return text if len(text) <= _QUERY_WIDTH else f"{text[: _QUERY_WIDTH - 3]}..."


def _percent(share: float | None) -> str:
    """Return a share in per cent."""
    return "" if share is None else f"{100 * share:.0f} %"


def _files(*names: str | None) -> str:
    """Join the names that there are."""
    return ", ".join(name for name in names if name)
