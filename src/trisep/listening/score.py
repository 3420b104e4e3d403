"""The scores of a listening test: answers and key → CLIPSep's Table 5. This module opens no sound and no page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from trisep.errors import ConfigError
from trisep.listening.key import BOTH, NONE, KeyRow, read_key, read_table
from trisep.metrics import bootstrap_mean
from trisep.metrics.statistics import Interval

OUTCOMES = ("correct", "wrong", BOTH, NONE)
_COLUMNS = ("rater", "sample", "answer", "seconds")


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The answer of one person for one clip."""

    rater: str
    sample: str
    answer: str
    """Name of a sound, or both or none."""
    seconds: float
    """Time from the start of the first playback to the answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SystemScore:
    """One row of the table: a model and the kind of its queries."""

    model: str
    query_kind: str
    shares: dict[str, float]
    """Share of answers, 0 to 1, for each of OUTCOMES: the mean over raters of each rater's own share."""
    correct: Interval | None
    """Bootstrap interval of the correct share over raters; None where only one rater answered."""
    num_answers: int
    num_raters: int


def score_test(answers: Sequence[Path], key: Path, *, seed: int = 0) -> str:
    """Return the table of a listening test as Markdown, and who did not finish.

    `seed` is that of the bootstrap over raters.
    """
    rows = read_key(key)
    given = read_answers(answers, rows)
    raters = list(dict.fromkeys(answer.rater for answer in given))
    median = float(np.median([answer.seconds for answer in given]))
    lines = [markdown(score(given, rows, generator=np.random.default_rng(seed))), ""]
    lines += [f"{len(raters)} raters, {len(rows)} clips, {len(given)} answers, {median:.1f} s for an answer (median)"]
    for rater in raters:
        num_answers = sum(answer.rater == rater for answer in given)
        if num_answers < len(rows):
            lines.append(f"not finished: {rater} answered {num_answers} of {len(rows)} clips, which count")
    return "\n".join(lines)


def read_answers(paths: Sequence[Path], key: dict[str, KeyRow]) -> list[Answer]:
    """Read the answers of all files and check them against the key.

    Raises:
        ConfigError: a file is not one that the page saved, or holds a sample that is not in the key, an answer that the
            sample does not offer, or a second answer of one rater to one sample.
    """
    answers: dict[tuple[str, str], Answer] = {}
    for path in paths:
        for number, row in enumerate(read_table(path, _COLUMNS), start=2):
            answer = _answer(row, key, f"{path}: line {number}")
            if (answer.rater, answer.sample) in answers:
                raise ConfigError(
                    f"{path}: line {number} answers sample {answer.sample} for rater '{answer.rater}' a second time; "
                    "give each file once, and each person a name of their own"
                )
            answers[answer.rater, answer.sample] = answer
    return list(answers.values())


def _answer(row: dict[str, str], key: dict[str, KeyRow], place: str) -> Answer:
    """Parse and check one line."""
    clip = key.get(row["sample"])
    if clip is None:
        raise ConfigError(
            f"{place} has the sample '{row['sample']}', which is not in the key; give the key.csv made with that page"
        )
    offered = (clip.label_a, clip.label_b, BOTH, NONE)
    if row["answer"] not in offered:
        raise ConfigError(
            f"{place} answers '{row['answer']}': expected one of {', '.join(sorted(offered[:2]))}, {BOTH}, {NONE}"
        )
    if not row["rater"].strip():
        raise ConfigError(f"{place} names no rater")
    try:
        seconds = float(row["seconds"])
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ConfigError(f"{place} took '{row['seconds']}' seconds: expected a number from 0")
    return Answer(rater=row["rater"], sample=row["sample"], answer=row["answer"], seconds=seconds)


def score(answers: Sequence[Answer], key: dict[str, KeyRow], *, generator: np.random.Generator) -> list[SystemScore]:
    """Return the shares of correct, wrong, both and none for each system that has answers, in the order of the key.

    Source: CLIPSep, Appendix F, Table 5. An answer is correct when it names exactly the target sound. Raters have equal
    weight, however many clips each of them finished; where all finish, as in the paper, this is the share of all
    answers. The interval is ours: the paper gives none.
    """
    scores = []
    for system in dict.fromkeys(row.system for row in key.values()):
        chosen = [answer for answer in answers if key[answer.sample].system == system]
        if not chosen:
            continue
        raters = list(dict.fromkeys(answer.rater for answer in chosen))
        shares = np.stack([_shares([answer for answer in chosen if answer.rater == rater], key) for rater in raters])
        scores.append(
            SystemScore(
                model=system[0],
                query_kind=system[1],
                shares=dict(zip(OUTCOMES, shares.mean(axis=0).tolist(), strict=True)),
                correct=bootstrap_mean(shares[:, 0], generator=generator) if len(raters) > 1 else None,
                num_answers=len(chosen),
                num_raters=len(raters),
            )
        )
    return scores


def _shares(answers: Sequence[Answer], key: dict[str, KeyRow]) -> Float[np.ndarray, "4"]:
    """Return the shares of OUTCOMES among one rater's answers."""
    outcomes = []
    for answer in answers:
        names = {key[answer.sample].label_a: "correct", key[answer.sample].label_b: "wrong"}
        outcomes.append(names.get(answer.answer, answer.answer))
    return np.array([outcomes.count(outcome) / len(outcomes) for outcome in OUTCOMES])


def markdown(scores: Sequence[SystemScore]) -> str:
    """Return the table as Markdown: shares in percent, the interval of the correct share over raters in brackets."""
    names = ["Model", "Query type", "Correct [95 %]", "Wrong", "Both", "None", "answers", "raters"]
    lines = ["| " + " | ".join(names) + " |", "|---|---|" + "---:|" * (len(names) - 2)]
    previous = ""
    for row in scores:
        interval = f"[{100 * row.correct.low:.1f}, {100 * row.correct.high:.1f}]" if row.correct else "[–]"
        shares = [f"{100 * row.shares[outcome]:.1f}" for outcome in OUTCOMES]
        model = "" if row.model == previous else row.model
        kind = "–" if row.query_kind == "mixture" else row.query_kind
        cells = [model, kind, f"{shares[0]} {interval}", *shares[1:], str(row.num_answers), str(row.num_raters)]
        lines.append("| " + " | ".join(cells) + " |")
        previous = row.model
    return "\n".join(lines)
