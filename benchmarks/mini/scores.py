"""Scores of the miniature benchmark: `trisep evaluate` for every system, and what its tables say per mixture."""

import json
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

import trisep.evaluation.run
from trisep.checkpoints.format import Checkpoint, load_model
from trisep.evaluation.compare import read_scores
from trisep.evaluation.mixtures import score_mixture
from trisep.evaluation.run import evaluate, journal_settings, plan
from trisep.metrics import Interval, PairedTest, bootstrap_mean, paired_test
from trisep.protocols import protocol

PROTOCOLS = {"avmini": "dev", "avmini-offscreen": "dev + noise"}
"""The protocols, and what the page calls them."""
METRICS = ("sdri", "siri", "sar")
BASELINES = ("mixture", "random-mask", "nmf-mfcc", "rpca", "ideal-binary-mask", "ideal-ratio-mask")
QueryName = Literal["text", "image", "video", "boxes", "sound"]
QUERIES: tuple[QueryName, ...] = ("text", "image")
"""What arms that are asked with embeddings are asked with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoringSettings:
    """What is the same for all systems."""

    data: Path
    """List of clips, or avmini's folder."""
    limit: int
    """Mixtures of each protocol."""
    workers: int | None
    """Processes; None is one per processor, 0 scores in this one."""
    media: Path | None = None
    """Where a list's paths start from; None is its own folder."""
    baselines: tuple[str, ...] = BASELINES
    one_query: bool = False
    """Whether each arm is asked with the first of its queries alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One system under one protocol."""

    per_mixture: Mapping[str, Mapping[int, float]]
    """Metric → mixture → dB: the mean over the mixture's sources, then over seeds. Mixtures without a finite score are
    left out.
    """
    seed_means: Mapping[int, float]
    """Seed → mean SDR improvement in dB; one entry for what is not trained here."""

    def interval(self, metric: str) -> Interval | None:
        """The mean over mixtures with its 95 % interval (bootstrap over mixtures); None where nothing is finite."""
        values = np.array(list(self.per_mixture[metric].values()))
        return bootstrap_mean(values, generator=np.random.default_rng(0)) if values.size else None

    def mean(self, metric: str) -> float | None:
        """The mean over mixtures; None where nothing is finite."""
        values = list(self.per_mixture[metric].values())
        return float(np.mean(values)) if values else None


def difference(a: Measured, b: Measured) -> PairedTest | None:
    """SDR improvement of a − b on the mixtures that both have; None where there are none."""
    ours, theirs = a.per_mixture["sdri"], b.per_mixture["sdri"]
    both = [mixture for mixture in ours if mixture in theirs]
    if not both:
        return None
    pairs = (np.array([values[mixture] for mixture in both]) for values in (ours, theirs))
    return paired_test(*pairs, generator=np.random.default_rng(0))


def score_model(checkpoint: str | Path, folder: Path, query: QueryName, settings: ScoringSettings) -> dict[str, Path]:
    """The tables of one model asked with `query`, by protocol, in `folder`/PROTOCOL-QUERY; made unless
    they are there.
    """
    return {
        name: score(settings, name, folder / f"{name}-{query}", checkpoint=str(checkpoint), query=query)
        for name in PROTOCOLS
    }


def score_baselines(folder: Path, settings: ScoringSettings) -> dict[str, Path]:
    """The tables of all baselines, by protocol, in `folder`/PROTOCOL; made unless they are there."""
    return {name: score(settings, name, folder / name, baselines=settings.baselines) for name in PROTOCOLS}


def measure(tables: Mapping[int, Path], system: str | None = None) -> Measured:
    """What the tables (by seed) say of a system, by default of the first in each: of a model, asked for each source
    alone.
    """
    per_mixture: dict[str, dict[int, float]] = {}
    seed_means: dict[int, float] = {}
    for metric in METRICS:
        seeds = {seed: _mixture_means(table, system, metric) for seed, table in tables.items()}
        everywhere = sorted(set.intersection(*(set(values) for values in seeds.values())))
        per_mixture[metric] = {
            mixture: float(np.mean([values[mixture] for values in seeds.values()])) for mixture in everywhere
        }
        if metric == "sdri":
            seed_means = {seed: float(np.mean(list(values.values()))) for seed, values in seeds.items() if values}
    return Measured(per_mixture=per_mixture, seed_means=seed_means)


def hours_of_scoring(out: Path) -> float:
    """Wall time of all evaluations under a folder times their processes."""
    summaries = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in out.glob("**/*.json")
        if path.parent.name.startswith("avmini")
    ]
    done = [one for one in summaries if "wall_seconds" in one]
    return sum(one["wall_seconds"] * (one["environment"]["workers"] or os.cpu_count() or 1) for one in done) / 3600


def score(
    settings: ScoringSettings,
    name: str,
    out: Path,
    *,
    checkpoint: str | None = None,
    query: QueryName = "text",
    baselines: Sequence[str] = (),
) -> Path:
    """The table of one evaluation; made unless a finished one of the same settings (and weights) is there."""
    what: dict[str, Any] = {"query": query, "baselines": baselines, "device": "cpu"}
    where: dict[str, Any] = {"data": settings.data, "media": settings.media, "limit": settings.limit}
    stem = query if checkpoint else "baselines"
    table, summary = out / f"{stem}.csv", out / f"{stem}.json"
    job = plan(checkpoint, protocol(name), settings.data, media=settings.media, **what)
    wanted = journal_settings(job, checkpoint, pairs=None, **where)
    found = json.loads(summary.read_text(encoding="utf-8")) if summary.is_file() and table.is_file() else {}
    # Weights are told by their hash, so that a folder of runs may be moved.
    if any(found.get(key) != value for key, value in wanted.items() if key != "checkpoint"):
        print(f"score {out}", flush=True)
        with in_this_process() if settings.workers == 0 else nullcontext():
            evaluate(checkpoint, protocol=name, out=out, num_workers=settings.workers or 1, **what, **where)
    return table


@contextmanager
def in_this_process() -> Iterator[None]:
    """Score without a process of its own within the body: starting one takes longer than scoring ten mixtures."""
    started = trisep.evaluation.run.score_all
    trisep.evaluation.run.score_all = lambda job, mixtures, num_workers: (  # type: ignore[assignment]
        score_mixture(job, mixture, _loaded(job.checkpoint)) for mixture in mixtures
    )
    try:
        yield
    finally:
        trisep.evaluation.run.score_all = started


@lru_cache(maxsize=1)
def _loaded(checkpoint: Path | None) -> Checkpoint | None:
    return None if checkpoint is None else load_model(checkpoint)


def _mixture_means(table: Path, system: str | None, metric: str) -> dict[int, float]:
    values: dict[int, list[float]] = defaultdict(list)
    for (mixture, _), value in read_scores(table, system, metric).scores.items():
        values[mixture].append(value)
    return {mixture: float(np.mean(sources)) for mixture, sources in values.items()}
