"""Judge what tells whether a query is in a video: its picture, or its sound.

    python benchmarks/located.py AVMINI --clips 2

Of each label of the dev set some clips are asked for their own label and for the label of another clip, drawn at
random. Prints the area under the ROC curve, with its 95 % interval, of each measure: the best cosine of any region with
the query; the same less its mean over all classes that the encoder knows, in their standard deviations; the share of
these classes that the picture is less like; and the presence that `trisep localize` warns by.
"""

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

import trisep
from trisep.encoders import encode_query_text
from trisep.encoders.lite import LiteEncoder
from trisep.metrics import roc_auc
from trisep.separation.localize import stream_regions
from trisep.separation.presences import presences
from trisep.separation.separator import Separator
from trisep.types import Query

MEASURES = ("best cosine", "… in deviations of all classes", "share of classes less like", "presence")


def questions(data: Path, clips: int, generator: np.random.Generator) -> list[tuple[Path, str, bool]]:
    """Return (video, words, whether they are its label), two of each clip."""
    by_label: defaultdict[str, list[Path]] = defaultdict(list)
    with (data / "manifest.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["split"] == "dev":
                by_label[row["label"]].append(data / row["path"])
    asked = []
    for label, paths in sorted(by_label.items()):
        for path in paths[:clips]:
            other = str(generator.choice([name for name in sorted(by_label) if name != label]))
            asked += [(path, label, True), (path, other, False)]
    return asked


def measures(separator: Separator, path: Path, words: str) -> tuple[float, ...]:
    """Return all measures of one question."""
    encoder = separator.encoder
    assert isinstance(encoder, LiteEncoder)
    vectors = torch.cat([encode_query_text(encoder, words, ground=False)[None], encoder.known_things])
    best = best_cosines(separator, path, vectors)
    query, classes = best[0], best[1:]
    heard = presences(separator, path, [Query(words, text=words)])
    deviations = (query - classes.mean()) / classes.std()
    return float(query), float(deviations), float((classes < query).float().mean()), heard[0].presence or 0.0


def best_cosines(separator: Separator, path: Path, vectors: Float[Tensor, "n D"]) -> Float[Tensor, "n"]:
    """Return the largest cosine, less doubt, of any region of a frame with each vector, as the mean over the frames."""
    unit = F.normalize(vectors, dim=-1)
    frames = [
        (F.normalize(regions, dim=-1) @ unit.T - doubt[..., None]).amax(dim=(0, 1))
        for _, regions, doubt in stream_regions(path, separator.encoder, fps=0.25)
    ]
    return torch.stack(frames).mean(dim=0)


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--clips", type=int, default=2)
    parser.add_argument("--model", default="default")
    arguments = parser.parse_args()
    separator = trisep.load(arguments.model)
    asked = questions(arguments.data, arguments.clips, np.random.default_rng(0))
    values = np.array([measures(separator, path, words) for path, words, _ in asked])
    own = np.array([is_own for *_, is_own in asked])
    print(f"{own.sum()} present and {(~own).sum()} absent queries of {arguments.data.name}, {arguments.model}")
    for name, column in zip(MEASURES, values.T, strict=True):
        auc = roc_auc(column, own, generator=np.random.default_rng(0))
        print(f"{name:32s} {auc.auc:.3f} [{auc.low:.3f}, {auc.high:.3f}]")
    present = values[:, 3] >= separator.calibration.threshold
    print(f"by the threshold: {present[~own].sum()} absent taken for present, {(~present[own]).sum()} present missed")


if __name__ == "__main__":
    main()
