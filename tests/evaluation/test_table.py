"""The summary of scored sources and its table, by hand."""

from pathlib import Path

import numpy as np
import pytest

from trisep.errors import MediaError
from trisep.evaluation.journal import Journal
from trisep.evaluation.mixtures import SourceRow
from trisep.evaluation.table import markdown, num_left_out, require_scores, summarise
from trisep.metrics import Scores


def scores(sdri: float, *, others: float = 1.0) -> Scores:
    return Scores(**({name: others for name in Scores.__dataclass_fields__} | {"sdri": sdri}))


def row(mixture: int, group: str, result: Scores | None, *, source: int = 0, system: str = "model") -> SourceRow:
    return SourceRow(
        mixture=mixture,
        source=source,
        system=system,
        label="dog",
        other_label="rain",
        group=group,
        path="dev/a.mp4",
        other_path="dev/b.mp4",
        start=0.5,
        interference="",
        level_db=-20.0,
        mixture_level_db=-17.0,
        seed=0,
        skipped="" if result else "silent reference",
        scores=result,
    )


@pytest.fixture
def table(tmp_path: Path) -> Path:
    with Journal(tmp_path, "text", settings={}, rows_per_mixture=3) as journal:
        for mixture, (first, second) in enumerate([(1.0, 3.0), (6.0, 4.0), (-1.0, None)]):
            known = row(mixture, "known", scores(first, others=float("inf") if mixture == 1 else 2.0))
            lacking = row(mixture, "lacking", None if second is None else scores(second), source=1)
            journal.write([known, lacking, row(mixture, "known", scores(10.0), system="ceiling")])
        return journal.finish()


def test_the_summary_by_hand(table: Path) -> None:
    entries = summarise(table, ("sdri",), seed=0)
    assert [(entry["system"], entry["split"], entry["sources"], entry["skipped"]) for entry in entries] == [
        ("model", "all", 5, 1),
        ("model", "known", 3, 0),
        ("model", "lacking", 2, 1),
        ("ceiling", "all", 3, 0),
        ("ceiling", "known", 3, 0),
    ]
    everything = entries[0]
    assert (everything["sdri"], everything["sdri_median"], everything["sdri_improved"]) == pytest.approx(
        (2.6, 3.0, 0.8)
    )
    # Mixtures' means are 2, 5 and −1.
    assert everything["sdri_sem"] == pytest.approx(np.std([2, 5, -1], ddof=1) / np.sqrt(3))
    assert -1.0 <= everything["sdri_low"] < 2.0 < everything["sdri_high"] <= 5.0
    assert everything["reasons"] == {"silent reference": 1}
    assert (everything["snr_infinite"], everything["snr"]) == (1, pytest.approx((2 + 2 + 1 + 1) / 4))
    assert "snr_low" not in everything and entries == summarise(table, ("sdri",), seed=0)


def test_the_markdown_by_hand(table: Path) -> None:
    entries = [
        entry
        for entry in summarise(table, ("sdri", "snr"), seed=0)
        if entry["system"] == "ceiling" or entry["split"] == "all"
    ]
    lines = markdown(entries[:2], ("sdri", "snr"), title="ours").splitlines()
    assert lines[:3] == [
        "**ours**",
        "",
        "| system | sources | n (skipped) | SDRi mean [95 %] | ± s.e.m. | median | improved "
        "| SNR mean [95 %] | ± s.e.m. | median | SDR | SIR | SAR |",
    ]
    assert lines[5] == (
        "| ceiling | all | 3 (0) | 10.00 [10.00, 10.00] | 0.00 | 10.00 | 100 % | 1.00 [1.00, 1.00] | 0.00 | 1.00 | "
        "1.00 | 1.00 | 1.00 |"
    )
    assert lines[-1] == "Skipped: model: silent reference 1."


def test_faulty_files_are_named_as_far_as_they_are_few() -> None:
    reasons = {f"silent clip: {name}\x1b.wav": 2 for name in range(12)}
    entries = [{"system": "model", "split": "all", "sources": 0, "skipped": 24, "reasons": reasons}]
    *_, skipped, files = markdown(entries, ("sdri",), title="ours").splitlines()
    assert skipped == "Skipped: model: silent clip 24." and num_left_out(entries) == 24
    assert "9\\u001b.wav (silent clip), and 2 more." in files and "10" not in files and files.count("silent clip") == 10
    with pytest.raises(MediaError, match="9.*.wav 2, 2 more.; give other clips"):
        require_scores(entries, ("sdri",), Path("clips"))
    reasons = {"silent estimate": 1, "missing clip: a.wav": 2, "unreadable clip": 4, "too short clip: b.wav": 8}
    assert num_left_out([{"reasons": reasons}, {"reasons": reasons}]) == 14


def test_a_system_of_which_everything_was_skipped_has_no_numbers(tmp_path: Path) -> None:
    with Journal(tmp_path, "text", settings={}, rows_per_mixture=1) as journal:
        journal.write([row(0, "", None)])
        (entry,) = summarise(journal.finish(), ("sdri",), seed=0)
    assert (entry["sources"], entry["skipped"]) == (0, 1) and "sdri" not in entry
    assert "| model | all | 0 (1) | – [–, –] | – | – | – |" in markdown([entry], ("sdri",), title="nothing")


def test_rows_of_half_a_mixture_are_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="expected 2, all of one mixture, got 1"),
        Journal(tmp_path, "text", settings={}, rows_per_mixture=2) as journal,
    ):
        journal.write([row(0, "", None)])
    assert list(tmp_path.iterdir()) == []
