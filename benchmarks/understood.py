"""Judge whether queries are told apart that the encoder `lite` understands and that it does not.

    python benchmarks/understood.py

Of `understood_queries.csv` every other line is for choosing the bound, the rest is for the report.
"""

import csv
from pathlib import Path

import numpy as np

from trisep.encoders import load_encoder
from trisep.metrics import roc_auc
from trisep.queries.understanding import LEAST_COSINE, understanding

QUERIES = Path(__file__).parent / "understood_queries.csv"


def main() -> None:
    """Print AUC and errors on both halves, and the bound that the choosing half gives."""
    with QUERIES.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    encoder = load_encoder("lite")
    scores = np.array([understanding(encoder, row["query"]) for row in rows])
    good = np.array([row["understood"] == "yes" for row in rows])
    choosing = np.arange(len(rows)) % 2 == 0
    print(f"least score of a good query of the choosing half: {scores[choosing & good].min():.3f}")
    for name, half in (("choosing", choosing), ("reported", ~choosing)):
        auc = roc_auc(scores[half], good[half], generator=np.random.default_rng(0))
        flagged = scores[half] < LEAST_COSINE
        print(
            f"{name}: AUC {auc.auc:.3f} [{auc.low:.3f}, {auc.high:.3f}]; flagged {flagged[~good[half]].sum()} of "
            f"{(~good[half]).sum()} bad, {flagged[good[half]].sum()} of {good[half].sum()} good"
        )
    wrong = [rows[index]["query"] for index in np.flatnonzero((scores >= LEAST_COSINE) != good)]
    print("wrong:", ", ".join(wrong))


if __name__ == "__main__":
    main()
