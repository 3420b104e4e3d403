"""`trisep evaluate`: protocol (pair list) → separations → metrics → table.

The list is read twice: once to count it and to check that all clips exist, once to score it, a few mixtures ahead in
other processes. Rows are written in the order of the list as soon as they are ready, so neither the list nor the table
is ever in memory as a whole, any number of processes gives the same bytes, and a run that was killed continues where it
stopped. Under torchrun, each process scores its share of the list, with worker processes of its own, and the main
process writes everything.
"""

import multiprocessing
import os
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from rich.progress import track

from trisep.checkpoints.format import Checkpoint, load_model
from trisep.checkpoints.registry import load_named
from trisep.errors import CheckpointError, ConfigError, MediaError, TrisepError
from trisep.evaluation.distributed import Ranks
from trisep.evaluation.examples import examples_of
from trisep.evaluation.journal import Journal
from trisep.evaluation.mixtures import ScoringJob, SourceRow, score_mixture, system_names
from trisep.evaluation.owner import finished, require_own
from trisep.evaluation.pairs import PAIRS, Pairs, pair_list, survey
from trisep.evaluation.queries import words_not_understood
from trisep.evaluation.table import environment, markdown, num_left_out, require_scores, summarise
from trisep.media.files import replacing_text, sha256_of, write_json
from trisep.media.lock import locked
from trisep.protocols import Protocol, ProtocolMixture
from trisep.protocols import protocol as protocol_named
from trisep.protocols.clip_lists import list_folder
from trisep.queries.boxes import BoxList
from trisep.separation import Precision
from trisep.separation.precision import choose_precision
from trisep.separation.separator import choose_device, encoder_of, load
from trisep.store.pool import end_with_parent

_MIXTURES_AHEAD = 4
"""Number of mixtures given to each process before the first of them must be done."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """The result of scoring a list of mixtures."""

    text: str
    """The table as Markdown."""
    table: list[dict[str, Any]]
    """The table's entries: the statistics of every system and group."""
    settings: dict[str, Any]
    """Everything that the scores depend on, as JSON values."""
    num_mixtures: int
    num_left_out: int
    """Number of mixtures that were not scored because a clip of theirs is missing, unreadable, silent or too short."""
    not_understood: tuple[str, ...] = ()
    """Words of the list, as queries, that the model's encoder does not understand."""
    earlier: Path | None = None
    """The summary of an earlier run of the same, from which all this is read; None where it was scored now."""


def evaluate(
    checkpoint: str | Path | None = None,
    *,
    data: Path,
    media: Path | None = None,
    protocol: str = "avmini",
    pairs: Path | None = None,
    query: str = "text",
    boxes: Path | None = None,
    baselines: Sequence[str] = (),
    masks: Literal["protocol", "soft", "binary"] = "protocol",
    out: Path | None = None,
    seed: int = 0,
    num_workers: int | None = None,
    limit: int | None = None,
    skip_missing: bool = False,
    device: str = "auto",
    precision: Precision = "fp32",
) -> Evaluation | None:
    """Score a model, baselines, or both on mixtures of known sources; what the same run scored before stays as it is.

    Returns None in processes of torchrun but the main one. Raises TrisepError for an unknown name, a misfit or a lack.

    Args:
        checkpoint: name or folder of a model; None scores baselines only.
        data: the clips: a CSV (path, split, label), a folder with manifest.csv, or what `trisep data` wrote.
        media: the folder that paths of the list are relative to; None is the list's own folder.
        protocol: name of the protocol.
        pairs: a list of mixtures that replaces the protocol's own.
        query: the kind of query for the model: text, image, video, region, boxes or sound (`examples.py`).
        boxes: the list of a detector (see `queries/boxes.py`) for queries by boxes; None takes those that `lite` finds.
        baselines: further systems (see `mixtures.baseline_systems`); none scores the ideal ratio mask beside the model.
        masks: whether the model's masks are binarised; `protocol` does what the protocol says.
        out: folder for the table, the score of every source and the pair list; None writes nothing.
        seed: seed of the pair list, the baselines and the bootstrap.
        num_workers: number of processes; None is one per processor.
        limit: how many mixtures of the list are scored, from its start.
        skip_missing: count mixtures with missing or unreadable clips as skipped.
        device: the device that the model computes on.
        precision: the numbers that the model computes in; single precision gives the same scores on every processor.
    """
    chosen = protocol_named(protocol)
    how: dict[str, Any] = {"query": query, "boxes": boxes, "baselines": baselines, "masks": masks, "seed": seed}
    how |= {"device": device, "precision": choose_precision(precision, choose_device(device))}
    job = plan(checkpoint, chosen, data, media=media, skip_missing=skip_missing, **how)
    places: dict[str, Any] = {"media": media, "pairs": pairs, "seed": seed}
    walk = pair_list(chosen, data, limit=limit, **places)
    job = replace(job, examples=examples_of(pair_list(chosen, data, **places)())) if query == "sound" else job
    settings = journal_settings(job, checkpoint, data=data, media=media, pairs=pairs, limit=limit)
    return _evaluate(job, settings, walk, out, num_workers)


def _evaluate(
    job: ScoringJob, settings: dict[str, Any], pairs: Pairs, out: Path | None, num_workers: int | None
) -> Evaluation | None:
    """Score the mixtures in this process's share of the processes that torchrun started."""
    with Ranks() as ranks:
        ranks.share_gpus()

        def results(num_done: int) -> Iterator[list[SourceRow]]:
            """Yield the rows of the mixtures after the first `num_done`, a number that the main process decides.

            Every process must iterate over this.
            """
            own = islice(pairs(), ranks.from_main(num_done) + ranks.rank, None, ranks.count)
            return ranks.in_order(score_all(job, own, num_workers=num_workers or ranks.num_processors))

        if not ranks.is_main:
            deque(results(0), maxlen=0)
            return None
        return write_tables(job, settings, pairs, results, out=out, num_workers=num_workers)


def write_tables(
    job: ScoringJob,
    settings: dict[str, Any],
    pairs: Pairs,
    results: Callable[[int], Iterator[list[SourceRow]]],
    *,
    out: Path | None,
    num_workers: int | None,
) -> Evaluation:
    """Write the rows, after those of a run that was killed, and their summary; nothing where an earlier run did.

    `results` is called with the number of mixtures that are done already.
    """
    started = time.monotonic()
    name = job.query if job.checkpoint else "baselines"
    with tempfile.TemporaryDirectory() as temporary_folder:
        folder = out or Path(temporary_folder)
        require_own(folder, name, settings)
        if (earlier := finished(folder, name, settings)) is not None:
            deque(results(earlier["num_mixtures"]), maxlen=0)  # other processes are told that nothing is left
            return _told(job, settings, earlier, earlier=folder / f"{name}.json")
        with (
            locked(folder),
            Journal(
                folder, name, settings=settings, rows_per_mixture=len(job.systems) * job.protocol.num_scored
            ) as journal,
        ):
            num_mixtures = survey(pairs, folder / PAIRS, folder=job.folder, skip_missing=job.skip_missing)
            console = Console(stderr=True)
            # The bar is shown only on a terminal, and removed at the end, so that an error is one line on stderr.
            shown: dict[str, Any] = {"console": console, "transient": True, "disable": not console.is_interactive}
            for rows in track(results(journal.num_done), "evaluate", num_mixtures, completed=journal.num_done, **shown):
                journal.write(rows)
            table = journal.finish()
        entries = summarise(table, (*job.protocol.headline, "sdri", "si_sdri"), seed=job.seed)
        require_scores(entries, job.protocol.headline, job.folder)
        summary = {
            **settings,
            "levels": job.protocol.level_rule,
            "num_mixtures": num_mixtures,
            "not_understood": _doubted(job, pairs),
            "table": entries,
            "environment": environment(num_workers),
        }
        evaluation = _told(job, settings, summary)
        summary["wall_seconds"] = round(time.monotonic() - started, 1)
        write_json(folder / f"{name}.json", summary)
        with replacing_text(folder / f"{name}.md") as file:
            file.write(evaluation.text + "\n")
    return evaluation


def _doubted(job: ScoringJob, pairs: Pairs) -> list[str]:
    """Return the words of the list that the model is asked in and does not understand."""
    return words_not_understood(load_model(job.checkpoint), pairs()) if job.checkpoint and job.query == "text" else []


def _told(
    job: ScoringJob, settings: dict[str, Any], summary: dict[str, Any], *, earlier: Path | None = None
) -> Evaluation:
    """Put a summary into words."""
    entries, num_mixtures = summary["table"], summary["num_mixtures"]
    what, query = (f"{settings['checkpoint']} · ", f" · {job.query} query") if job.checkpoint else ("", "")
    title = f"{what}{job.protocol.name} · {num_mixtures} mixtures{query}"
    text = markdown(entries, job.protocol.headline, title=title)
    return Evaluation(
        text=text,
        table=entries,
        settings=settings,
        num_mixtures=num_mixtures,
        num_left_out=num_left_out(entries) // job.protocol.num_scored,
        not_understood=tuple(summary["not_understood"]),
        earlier=earlier,
    )


def plan(
    name: str | Path | None,
    protocol: Protocol,
    data: Path,
    *,
    media: Path | None = None,
    query: str = "text",
    boxes: Path | None = None,
    baselines: Sequence[str] = (),
    masks: Literal["protocol", "soft", "binary"] = "protocol",
    seed: int = 0,
    device: str = "auto",
    precision: Precision = "fp32",
    skip_missing: bool = False,
) -> ScoringJob:
    """Return what is the same for every mixture. Raises CheckpointError for a model that does not fit the protocol."""
    checkpoint = None if name is None else load_named(name)
    if checkpoint is None and not baselines:
        raise ConfigError(
            "nothing to score: give a model's name, a checkpoint, or a system with --baseline, for example mixture"
        )
    if boxes is not None:
        BoxList(boxes)  # a bad list is refused before anything is scored
    signal = protocol.signal
    if checkpoint is not None and checkpoint.signal.sample_rate_hz != signal.sample_rate_hz:
        rate = checkpoint.signal.sample_rate_hz
        if protocol.fixes_rate:
            raise CheckpointError(
                f"{name}: works at {rate} Hz, and protocol '{protocol.name}' is defined at {signal.sample_rate_hz} Hz; "
                "choose a model of that rate, or another protocol"
            )
        signal = replace(signal, sample_rate_hz=rate)
    chosen = tuple(baselines) or ("ideal-ratio-mask",)
    binary = protocol.binary_masks and checkpoint is not None and _trained_on_binary_masks(checkpoint)
    return ScoringJob(
        protocol=protocol,
        folder=media or list_folder(data),
        checkpoint=checkpoint.path if checkpoint else None,
        query=query,
        systems=system_names(checkpoint.model if checkpoint else None, query, chosen),
        baselines=chosen,
        signal=signal,
        binary_masks=binary if masks == "protocol" else masks == "binary",
        seed=seed,
        device=str(choose_device(device)) if checkpoint else "cpu",
        precision=precision,
        skip_missing=skip_missing,
        boxes=boxes,
    )


def score_all(
    job: ScoringJob, mixtures: Iterable[ProtocolMixture], *, num_workers: int = 1
) -> Iterator[list[SourceRow]]:
    """Yield the rows of each mixture, in order; they do not depend on the number of processes.

    Only a few mixtures are in work at a time.
    """
    # Each process has one thread; the linear algebra libraries read the environment when a worker imports them.
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
    context = multiprocessing.get_context("spawn")
    waiting: deque[Future[list[SourceRow]]] = deque()
    with ProcessPoolExecutor(num_workers, mp_context=context, initializer=_start_worker) as pool:
        try:
            for mixture in mixtures:
                waiting.append(pool.submit(_score, job, mixture))
                if len(waiting) >= _MIXTURES_AHEAD * num_workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise TrisepError(
                "a process that scores mixtures died (killed, or out of memory): run the same command again to "
                "continue, with fewer --workers"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def journal_settings(
    job: ScoringJob,
    checkpoint: str | Path | None,
    *,
    data: Path,
    media: Path | None,
    pairs: Path | None,
    limit: int | None,
) -> dict[str, Any]:
    """Return everything that the rows depend on, as JSON values."""
    weights = job.checkpoint / "model.safetensors" if job.checkpoint else None
    return {
        "protocol": job.protocol.name,
        "checkpoint": None if checkpoint is None else str(checkpoint),
        "model_sha256": _sha256(weights),
        "query": job.query if job.checkpoint else None,
        **({} if job.boxes is None else {"boxes_sha256": _sha256(job.boxes)}),
        "systems": list(job.systems),
        "sample_rate_hz": job.signal.sample_rate_hz,
        "binary_masks": job.binary_masks,
        "data": str(data),
        "data_sha256": _sha256(_list_file(data)),
        "media": None if media is None else str(media),
        "pairs_sha256": _sha256(pairs),
        "limit": limit,
        "seed": job.seed,
        "device": job.device,
        "precision": job.precision,
        "skip_missing": job.skip_missing,
    }


def _start_worker() -> None:
    torch.set_num_threads(1)
    end_with_parent()


def _score(job: ScoringJob, mixture: ProtocolMixture) -> list[SourceRow]:
    return score_mixture(job, mixture, _checkpoint(job.checkpoint, job.device) if job.checkpoint else None)


@lru_cache(maxsize=1)
def _checkpoint(path: Path, device: str) -> Checkpoint:
    """Load the model onto its device, once per process; its encoder is checked if the model reads queries."""
    checkpoint = load_model(path)
    if (contract := checkpoint.model.contract).answers_queries:
        if contract.domain == "spectrogram":
            return load(path, device=device).checkpoint
        encoder_of(checkpoint)
    checkpoint.model.to(choose_device(device))
    return checkpoint


def _trained_on_binary_masks(checkpoint: Checkpoint) -> bool:
    """Return whether the model learned binary masks, by the recipe in its card (`loss.mask.kind` or `loss.kind`).

    Losses that name no kind, and published checkpoints, count as binary.
    """
    loss = (checkpoint.card.get("recipe") or {}).get("loss")
    mask = loss.get("mask", loss) if isinstance(loss, dict) else {}
    return bool((mask.get("kind", "weighted_bce") if isinstance(mask, dict) else mask) == "weighted_bce")


def _list_file(data: Path) -> Path | None:
    """Return the file that lists the clips; None where a folder has none by its usual names."""
    files = (data,) if data.is_file() else (data / "manifest.csv", data / "labels.csv")
    return next((file for file in files if file.is_file()), None)


def _sha256(path: Path | None) -> str | None:
    try:
        return None if path is None else sha256_of(path)
    except OSError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror}); check the name") from error
