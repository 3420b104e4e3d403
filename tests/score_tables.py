"""Tables of scores, as an evaluation writes them, with given gains."""

import json
from pathlib import Path

import numpy as np

from trisep.evaluation.journal import Journal
from trisep.evaluation.mixtures import SourceRow
from trisep.metrics import Scores

LABELS = ("dog", "rain")


def rows(mixture: int, gains: tuple[float, float], system: str = "model") -> list[SourceRow]:
    return [
        SourceRow(
            mixture=mixture,
            source=source,
            system=system,
            label=LABELS[source],
            other_label=LABELS[1 - source],
            group="",
            path=f"{mixture}{source}.wav",
            other_path=f"{mixture}{1 - source}.wav",
            start=0.5,
            interference="",
            level_db=-20.0,
            mixture_level_db=-17.0,
            seed=0,
            skipped="" if np.isfinite(gain) else "silent estimate",
            scores=Scores(**dict.fromkeys(Scores.__dataclass_fields__, gain)) if np.isfinite(gain) else None,
        )
        for source, gain in enumerate(gains)
    ]


def write_table(folder: Path, tables: list[list[SourceRow]], *, name: str = "text", protocol: str = "avmini") -> Path:
    with Journal(folder, name, settings={}, rows_per_mixture=len(tables[0])) as journal:
        for table in tables:
            journal.write(table)
        journal.finish()
    (folder / f"{name}.json").write_text(json.dumps({"protocol": protocol, "sample_rate_hz": 16000}))
    return folder


BASE = [rows(index, (1.0, 5.0)) for index in range(8)]
