"""`avmini`: pairs of held-out clips of different labels, mixed at equal level, both sources scored.

200 pairs drawn from the split `dev` of a folder with `manifest.csv` (columns path, split, label), each clip over its whole 8 s and at
−20 dBFS RMS before the sum. Labels choose the pairs and make the text query, through one template. The list is ours; no paper defines it.
"""

import csv
from pathlib import Path

import numpy as np

from trisep.errors import MediaError
from trisep.protocols import ProtocolMixture, ProtocolSource

SIGNAL_RATE_HZ = 16000
NUM_MIXTURES = 200
LEVEL_DB = -20.0
TEMPLATE = "a photo of {}"

LACKING = frozenset({"bagpipes", "clarinet", "flute", "mandolin", "rain", "tuba"})
"""Classes of which ImageNet's classifier alone names fewer than half of the dev pictures right."""

SPLITS = {"known": lambda label: label not in LACKING, "lacking": lambda label: label in LACKING}
"""Groups of sources reported apart: what the encoder `lite` knows from ImageNet, and what it lacks."""


def mixtures(data: Path, *, seed: int = 0, limit: int | None = None) -> list[ProtocolMixture]:
    """The pair list; the same for the same manifest and seed."""
    sources = dev_sources(data)
    generator = np.random.default_rng(seed)
    drawn: list[ProtocolMixture] = []
    while len(drawn) < NUM_MIXTURES:
        first, second = (sources[index] for index in generator.choice(len(sources), 2, replace=False))
        if first.label != second.label:
            drawn.append(ProtocolMixture(index=len(drawn), sources=(first, second), level_db=LEVEL_DB))
    return drawn[:limit]


def dev_sources(data: Path) -> list[ProtocolSource]:
    """Every held-out clip, in the order of the manifest; `MediaError` names what the folder lacks."""
    manifest = data / "manifest.csv"
    if not manifest.is_file():
        raise MediaError(f"{data}: holds no manifest.csv; give the folder of the avmini set (with manifest.csv and dev/)")
    with manifest.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        missing = {"path", "split", "label"} - set(reader.fieldnames or ())
        if missing:
            raise MediaError(f"{manifest}: lacks the column {', '.join(sorted(missing))}")
        rows = [row for row in reader if row["split"] == "dev"]
    if len({row["label"] for row in rows}) < 2:
        raise MediaError(f"{manifest}: the split dev needs clips of at least two labels")
    return [ProtocolSource(path=data / row["path"], label=row["label"], text=TEMPLATE.format(row["label"])) for row in rows]
