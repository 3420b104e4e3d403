"""`trisep analyze queries`: whether the wording of a query matters, on the same mixtures and sources.

Source: CLIPSep, Appendix G and Fig. 16, which shows spectrograms; the scores are ours. Every mixture is made and
transformed once, and the network runs on it once with all wordings as queries. The wordings are single templates,
paraphrases without a template, and the mean of the four templates that `trisep separate` uses, with which all others
are compared.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from rich.console import Console
from rich.progress import track

from trisep.checkpoints.format import Checkpoint
from trisep.encoders import QUERY_TEMPLATES
from trisep.errors import ConfigError
from trisep.evaluation.mixtures import ScoringJob, mixture_sounds, separate_mixture
from trisep.evaluation.owner import require_own_report
from trisep.evaluation.pairs import PAIRS, pair_list, survey
from trisep.evaluation.queries import embed_sources
from trisep.evaluation.run import plan
from trisep.evaluation.table import metric_name, require_metric, write_report, write_rows
from trisep.figures.analysis import draw_wordings
from trisep.media.files import make_folder
from trisep.media.tables import read_rows
from trisep.metrics import Interval, PairedTest, bootstrap_mean, paired_test, score_separation
from trisep.protocols import ProtocolMixture
from trisep.protocols import protocol as protocol_named
from trisep.separation.separator import load
from trisep.types import QueryEmbedding

ENSEMBLE = f"mean of {len(QUERY_TEMPLATES)} templates"
TEMPLATES = (*QUERY_TEMPLATES, "{}", "person playing a {}", "the sound of a {}", "a recording of {}")
"""The templates that are used one by one: CLIPSep's four, the bare name, VAST's, and two that speak of sound."""
_FIRST_COLUMNS = ("wording", "sources", "mean", "low", "high")
_SOURCES = "queries_sources.csv"
_BUNDLED = Path(__file__).with_name("paraphrases.csv")
"""Paraphrases of the classes of avmini and of 45 everyday sounds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wording:
    """One way of putting a query into words."""

    name: str
    templates: tuple[str, ...]
    words: Mapping[str, str] | None = None
    """For each label, the words that replace it in the templates; None keeps the labels.

    Labels without an entry get no query in this wording.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class AskedRow:
    """The score of one source for one wording of its query."""

    mixture: int
    source: int
    label: str
    wording: str
    text: str
    """The query's text; for the mean of templates, the label."""
    skipped: str
    """Why there is no score; empty where there is one."""
    score: float
    """The score in dB; nan where there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WordingScore:
    """The score of one wording over all mixtures."""

    wording: str
    sources: int
    score: Interval
    """Mean over mixtures, each represented by the mean of its sources."""
    difference: PairedTest
    """Difference from the mean of the templates, over the mixtures that have both."""


def analyze_queries(
    checkpoint: str,
    *,
    data: Path,
    out: Path,
    protocol: str = "avmini",
    paraphrases: Path | None = None,
    metric: str = "sdri",
    limit: int | None = 40,
    seed: int = 0,
    device: str = "auto",
) -> str:
    """Return a table of whether the wording of a query matters.

    It also writes queries.md, queries.csv, queries.png and the score of every source to `out`.

    Args:
        checkpoint: name or folder of a model that reads words.
        data: the list of the protocol's clips, as for `evaluate`.
        out: folder of the outputs.
        protocol: name of the protocol.
        paraphrases: other words for the labels, a CSV (label, wording); None takes trisep's.
        metric: the score that is shown.
        limit: how many mixtures of the list are used, from its start; None uses all.
        seed: seed of the pair list, the bootstrap and the permutation tests.
        device: the device that the model computes on.
    """
    require_metric(metric)
    require_own_report(out, "queries", _FIRST_COLUMNS, verb="analyze queries", beside=(_SOURCES,), has_pairs=True)
    chosen = protocol_named(protocol)
    job = plan(checkpoint, chosen, data, seed=seed, device=device)
    loaded = load(checkpoint, device=job.device).checkpoint
    if loaded.model.contract.reads == "labels":
        raise ConfigError(
            f"{loaded.path}: {loaded.model_name} reads labels, whatever their wording; give a model that reads words"
        )
    pairs = pair_list(chosen, data, seed=seed, limit=limit)
    wordings = read_wordings(
        paraphrases or _BUNDLED, {source.label for mixture in pairs() for source in mixture.sources}
    )
    make_folder(out)
    num_mixtures = survey(pairs, out / PAIRS, folder=job.folder, skip_missing=False)
    mixtures = track(pairs(), "score", num_mixtures, console=Console(stderr=True), transient=True)
    rows = [row for mixture in mixtures for row in ask(job, loaded, mixture, wordings, metric)]
    results = summarise(rows, seed=seed)
    text = markdown(results, rows, metric=metric_name(metric), title=f"{checkpoint} · {chosen.name}")
    write_report(out, "queries", text, [_row(result) for result in results])
    write_rows(out / _SOURCES, [asdict(row) for row in rows])
    _draw(results, out / "queries.png", metric=metric_name(metric))
    return text


def _draw(results: Sequence[WordingScore], file: Path, *, metric: str) -> None:
    """Draw the scores of the wordings, and their differences from the mean of the templates."""
    scores = {result.wording: astuple(result.score) for result in results}
    differences = {result.wording: astuple(result.difference.interval) for result in results}
    draw_wordings(scores, differences, file, metric=metric)


def read_wordings(paraphrases: Path, labels: Iterable[str]) -> list[Wording]:
    """Return all wordings: the mean of templates, each template, then each label's first paraphrase, second, and so on.

    Raises MediaError for a file that is no table of label, wording, ConfigError for one that names none of the labels.
    """
    others: defaultdict[str, list[str]] = defaultdict(list)
    for row in read_rows(paraphrases, ("label", "wording")):
        others[row["label"]].append(row["wording"])
    wanted = sorted(set(labels) & others.keys())
    if not wanted:
        expected = ", ".join(sorted(set(labels))[:3])
        raise ConfigError(
            f"{paraphrases}: names none of the labels of the mixtures ({expected}, …); give --paraphrases with others"
        )
    most = max(len(others[label]) for label in wanted)
    paraphrased = [
        {label: others[label][number] for label in wanted if number < len(others[label])} for number in range(most)
    ]
    return [
        Wording(name=ENSEMBLE, templates=QUERY_TEMPLATES),
        *(
            Wording(name=template.format("…" if template != "{}" else "the name alone"), templates=(template,))
            for template in TEMPLATES
        ),
        *(
            Wording(name=f"paraphrase {number}", templates=("{}",), words=words)
            for number, words in enumerate(paraphrased, start=1)
        ),
    ]


def ask(
    job: ScoringJob, checkpoint: Checkpoint, mixture: ProtocolMixture, wordings: Sequence[Wording], metric: str
) -> Iterator[AskedRow]:
    """Score a mixture's sources in every wording, from one run of the network. MediaError for an unreadable file."""
    sources, total = mixture_sounds(job, mixture)
    texts_of: dict[str, dict[int, str]] = {}
    vectors = []
    for wording in wordings:
        named = {index: mixture.sources[index] for index in range(job.protocol.num_scored)}
        if wording.words is not None:
            named = {
                index: replace(one, label=wording.words[one.label])
                for index, one in named.items()
                if one.label in wording.words
            }
        if named:
            protocol = replace(job.protocol, templates=wording.templates)
            embedded = embed_sources(checkpoint, list(named.values()), "text", protocol, device=job.device).vectors
            assert embedded is not None
            vectors.append(embedded)
            template = wording.templates[0] if len(wording.templates) == 1 else "{}"
            texts_of[wording.name] = {index: template.format(one.label) for index, one in named.items()}
    query = QueryEmbedding(vectors=torch.cat(vectors, dim=1))
    estimates, _ = separate_mixture(checkpoint, total, query, device=job.device, binary_masks=job.binary_masks)
    begin = 0
    for name, texts in texts_of.items():
        chosen = estimates[begin : begin + len(texts)]
        begin += len(texts)
        for result in score_separation(references=sources, estimates=chosen, mixture=total, scored=list(texts)):
            yield AskedRow(
                mixture=mixture.index,
                source=result.source,
                label=mixture.sources[result.source].label,
                wording=name,
                text=texts[result.source],
                skipped=result.skipped or "",
                score=getattr(result.scores, metric) if result.scores else float("nan"),
            )


def summarise(rows: Sequence[AskedRow], *, seed: int) -> list[WordingScore]:
    """Return the mean of each wording and its difference from the mean of templates, in the order of the rows.

    Raises ConfigError where nothing has a score.
    """
    by_wording: defaultdict[str, defaultdict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if np.isfinite(row.score):
            by_wording[row.wording][row.mixture].append(row.score)
    if not by_wording[ENSEMBLE]:
        raise ConfigError(
            "no source has a score for the mean of templates: every sound or estimate is silent; see trisep evaluate"
        )
    reference = {mixture: float(np.mean(scores)) for mixture, scores in by_wording[ENSEMBLE].items()}
    results = []
    for wording, mixtures in by_wording.items():
        means = {mixture: float(np.mean(scores)) for mixture, scores in mixtures.items()}
        common = [mixture for mixture in means if mixture in reference]
        ours, theirs = (np.array([side[mixture] for mixture in common]) for side in (means, reference))
        results.append(
            WordingScore(
                wording=wording,
                sources=sum(map(len, mixtures.values())),
                score=bootstrap_mean(np.array(list(means.values())), generator=np.random.default_rng(seed)),
                difference=paired_test(ours, theirs, generator=np.random.default_rng(seed)),
            )
        )
    return results


def spread_db(rows: Sequence[AskedRow]) -> Float[np.ndarray, "n"]:
    """Return, for each source, the standard deviation of its scores over all wordings that have one, in dB."""
    scores: defaultdict[tuple[int, int], list[float]] = defaultdict(list)
    for row in rows:
        if np.isfinite(row.score):
            scores[row.mixture, row.source].append(row.score)
    return np.array([np.std(values) for values in scores.values()])


def markdown(results: Sequence[WordingScore], rows: Sequence[AskedRow], *, metric: str, title: str) -> str:
    """Return the results as a Markdown table, in dB."""
    num_mixtures, spread = len({row.mixture for row in rows}), spread_db(rows)
    lines = [
        f"**{title} · {num_mixtures} mixtures, text queries, each alone**",
        "",
        f"| wording | sources | {metric} mean [95 %] | − {ENSEMBLE} [95 %] | p |",
        "|---|---:|---|---|---:|",
    ]
    for one in results:
        interval = one.difference.interval
        difference = f"{interval.mean:+.2f} [{interval.low:+.2f}, {interval.high:+.2f}] | {one.difference.p_value:.2g}"
        score = f"{one.score.mean:.2f} [{one.score.low:.2f}, {one.score.high:.2f}]"
        lines.append(
            f"| {one.wording} | {one.sources} | {score} | {'– | –' if one.wording == ENSEMBLE else difference} |"
        )
    lines += [
        "",
        f"One source's score moves by {spread.mean():.2f} dB with the wording (standard deviation over wordings, mean "
        f"over {len(spread)} sources; 95 % of them below {np.quantile(spread, 0.95):.2f}). "
        f"{sum(not np.isfinite(row.score) for row in rows)} of {len(rows)} estimates without a finite score. Means, "
        "intervals (bootstrap) and p (sign-flip permutation) are over mixtures, each the mean of its sources; p is not "
        "corrected for the number of wordings.",
    ]
    return "\n".join(lines)


def _row(result: WordingScore) -> dict[str, object]:
    """Make a line of the CSV."""
    interval = result.difference.interval
    return {
        "wording": result.wording,
        "sources": result.sources,
        "mean": result.score.mean,
        "low": result.score.low,
        "high": result.score.high,
        "difference": interval.mean,
        "difference_low": interval.low,
        "difference_high": interval.high,
        "p_value": result.difference.p_value,
    }
