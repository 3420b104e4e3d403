"""`trisep evaluate`: protocol (pair list) → separations → metrics → table.

The list is walked twice: once to count it and to see that all clips are there, once to score it, a few mixtures ahead in other processes.
Rows come in the order of the list and are written as they come, so that neither the list nor the table is ever in memory, any number of
processes gives the same bytes, and a run that was killed goes on where it stopped. Under torchrun each of its processes scores its share of
the list, with processes of its own, and the main one writes everything.
"""

import hashlib
import json
import multiprocessing
import os
import platform
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track

from trisep.arguments.evaluation import EvaluateArguments
from trisep.catalogue import checkpoint_folder
from trisep.checkpoint import Checkpoint, git_revision, load_model
from trisep.errors import CheckpointError, MediaError, TrisepError
from trisep.media.output import replacing
from trisep.protocols import Protocol, ProtocolMixture, protocol
from trisep.protocols.clip_lists import list_folder
from trisep.protocols.pair_files import read_pairs, write_pairs
from trisep.scoring.journal import Journal
from trisep.scoring.mixtures import ScoringJob, SourceRow, score_mixture, system_names
from trisep.scoring.ranks import Ranks
from trisep.scoring.table import markdown, summarise
from trisep.separate import choose_device, load
from trisep.store.pool import end_with_parent

Pairs = Callable[[], Iterator[ProtocolMixture]]
_MIXTURES_AHEAD = 4
"""Mixtures handed out per process before the first of them must be done."""


def run(arguments: EvaluateArguments) -> int:
    """The verb: score, print the table, and write it where `--out` says. Raises TrisepError for a user's error; returns 0."""
    rules = protocol(arguments.protocol)
    job = plan(arguments, rules)
    pairs = pair_list(arguments, rules)
    with Ranks() as ranks:
        ranks.share_gpus()

        def results(num_done: int) -> Iterator[list[SourceRow]]:
            """The rows of the mixtures after so many, which the main process says: to be walked by every process."""
            own = islice(pairs(), ranks.from_main(num_done) + ranks.rank, None, ranks.count)
            return ranks.in_order(evaluate(job, own, num_workers=arguments.workers or ranks.num_processors))

        if ranks.is_main:
            write_tables(arguments, job, pairs, results)
        else:
            deque(results(0), maxlen=0)
    return 0


def write_tables(arguments: EvaluateArguments, job: ScoringJob, pairs: Pairs, results: Callable[[int], Iterator[list[SourceRow]]]) -> None:
    """Take in the rows, after those of a run that was killed, and write and print what they say; `results` is told how many are there."""
    started = time.monotonic()
    rules = job.protocol
    name = arguments.query if job.checkpoint else "baselines"
    with tempfile.TemporaryDirectory() as nowhere:
        out = arguments.out or Path(nowhere)
        settings = journal_settings(arguments, job)
        with Journal(out, name, settings=settings, rows_per_mixture=len(job.systems) * rules.num_scored) as journal:
            num_mixtures = survey(pairs, out / "pairs.csv", folder=job.folder, skip_missing=job.skip_missing)
            console = Console(stderr=True)
            # Only for eyes, and gone at the end: an error is one line on stderr.
            shown: dict[str, Any] = {"console": console, "transient": True, "disable": not console.is_interactive}
            for rows in track(results(journal.num_done), "evaluate", num_mixtures, completed=journal.num_done, **shown):
                journal.write(rows)
            table = journal.finish()
        entries = summarise(table, (*rules.headline, "sdri", "si_sdri"), seed=arguments.seed)
        what = f"{arguments.checkpoint} · " if arguments.checkpoint else ""
        query = f" · {arguments.query} query" if arguments.checkpoint else ""
        text = markdown(entries, rules.headline, title=f"{what}{rules.name} · {num_mixtures} mixtures{query}")
        print(text)
        summary = {**settings, "num_mixtures": num_mixtures, "table": entries, "environment": environment(arguments)}
        summary["wall_seconds"] = round(time.monotonic() - started, 1)
        for suffix, content in (("json", json.dumps(summary, indent=1, allow_nan=False)), ("md", text)):
            with replacing(out / f"{name}.{suffix}") as temporary:
                temporary.write_text(content + "\n", encoding="utf-8")


def plan(arguments: EvaluateArguments, rules: Protocol) -> ScoringJob:
    """What is to be done with every mixture; refuses a model that does not fit the protocol."""
    checkpoint = load_model(checkpoint_folder(arguments.checkpoint)) if arguments.checkpoint else None
    signal = rules.signal
    if checkpoint is not None and checkpoint.signal.sample_rate_hz != signal.sample_rate_hz:
        rate = checkpoint.signal.sample_rate_hz
        if rules.fixes_rate:
            raise CheckpointError(
                f"{arguments.checkpoint}: works at {rate} Hz, and protocol '{rules.name}' is defined at {signal.sample_rate_hz} Hz; "
                "choose a model of that rate, or another protocol"
            )
        signal = replace(signal, sample_rate_hz=rate)
    baselines = arguments.baseline or ("ideal-ratio-mask",)
    binary = rules.binary_masks and checkpoint is not None and _trained_on_binary_masks(checkpoint)
    return ScoringJob(
        protocol=rules,
        folder=arguments.media or list_folder(arguments.data),
        checkpoint=checkpoint.path if checkpoint else None,
        query=arguments.query,
        systems=system_names(checkpoint.model if checkpoint else None, arguments.query, baselines),
        baselines=baselines,
        signal=signal,
        binary_masks=binary if arguments.masks == "protocol" else arguments.masks == "binary",
        seed=arguments.seed,
        device=str(choose_device(arguments.device)) if checkpoint else "cpu",
        skip_missing=arguments.skip_missing,
    )


def pair_list(arguments: EvaluateArguments, rules: Protocol) -> Pairs:
    """The list of mixtures, which can be walked any number of times: of `--pairs`, or as the protocol draws it."""
    home = list_folder(arguments.data)
    folder = arguments.media or home

    def moved(path: Path) -> Path:
        """The path under the folder that the media are in."""
        return folder / path.relative_to(home) if path.is_relative_to(home) else path

    def walk() -> Iterator[ProtocolMixture]:
        """The mixtures, one at a time."""
        drawn = read_pairs(arguments.pairs, folder=home) if arguments.pairs else rules.pairs(arguments.data, arguments.seed)
        for mixture in islice(drawn, arguments.limit):
            if folder == home:
                yield mixture
                continue
            sources = [replace(one, path=moved(one.path), picture=one.picture and moved(one.picture)) for one in mixture.sources]
            yield replace(mixture, sources=tuple(sources), interference=mixture.interference and moved(mixture.interference))

    return walk


def survey(pairs: Pairs, file: Path, *, folder: Path, skip_missing: bool) -> int:
    """Write the list down and count it. MediaError when it names clips that are not there, unless they are to be skipped, or is empty."""
    known: dict[Path, bool] = {}
    num_mixtures, num_lacking = 0, 0
    for mixture in write_pairs(pairs(), file, folder=folder):
        num_mixtures += 1
        paths = [path for one in mixture.sources for path in (one.path, one.picture) if path]
        paths += [mixture.interference] if mixture.interference else []
        for path in paths:
            known.setdefault(path, path.is_file())
        num_lacking += not all(known[path] for path in paths)
    absent = [path for path, is_there in known.items() if not is_there]
    if absent and not skip_missing:
        raise MediaError(
            f"{absent[0]}: no such file; {len(absent)} of {len(known)} clips are absent, in {num_lacking} of {num_mixtures} mixtures: "
            "get them, or count and skip those mixtures with --skip-missing"
        )
    if num_mixtures == 0:
        raise MediaError(f"{file}: the pair list is empty; give one with at least one mixture")
    return num_mixtures


def evaluate(job: ScoringJob, mixtures: Iterable[ProtocolMixture], *, num_workers: int = 1) -> Iterator[list[SourceRow]]:
    """The rows of each mixture, in order; they do not depend on the number of processes. Few mixtures are in work at a time."""
    # One thread a process: the environment is read when a worker imports the linear algebra libraries.
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
                "a process that scores mixtures died (killed, or out of memory): run the same command again to go on, with fewer --workers"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def journal_settings(arguments: EvaluateArguments, job: ScoringJob) -> dict[str, Any]:
    """Everything that the rows depend on, as JSON values."""
    weights = job.checkpoint / "model.safetensors" if job.checkpoint else None
    return {
        "protocol": job.protocol.name,
        "checkpoint": arguments.checkpoint,
        "model_sha256": _sha256(weights),
        "query": job.query if job.checkpoint else None,
        "systems": list(job.systems),
        "sample_rate_hz": job.signal.sample_rate_hz,
        "binary_masks": job.binary_masks,
        "data": str(arguments.data),
        "data_sha256": _sha256(_list_file(arguments.data)),
        "media": None if arguments.media is None else str(arguments.media),
        "pairs_sha256": _sha256(arguments.pairs),
        "limit": arguments.limit,
        "seed": arguments.seed,
        "device": job.device,
        "skip_missing": job.skip_missing,
    }


def environment(arguments: EvaluateArguments) -> dict[str, Any]:
    """What the numbers were made with, beyond the settings."""
    packages = ("trisep", "torch", "numpy", "scipy", "av", "soxr")
    versions = {"python": platform.python_version(), **{name: _version(name) for name in packages}}
    return {"git_revision": git_revision(), "platform": platform.platform(), "workers": arguments.workers, "versions": versions}


def _start_worker() -> None:
    torch.set_num_threads(1)
    end_with_parent()


def _score(job: ScoringJob, mixture: ProtocolMixture) -> list[SourceRow]:
    return score_mixture(job, mixture, _checkpoint(job.checkpoint, job.device) if job.checkpoint else None)


@lru_cache(maxsize=1)
def _checkpoint(path: Path, device: str) -> Checkpoint:
    """The model on its device, its encoder checked if it is asked anything; loaded once per process."""
    checkpoint = load_model(path)
    if not getattr(checkpoint.model, "oracle_assignment", False):
        return load(path, device=device).checkpoint
    checkpoint.model.to(choose_device(device))
    return checkpoint


def _trained_on_binary_masks(checkpoint: Checkpoint) -> bool:
    """By the recipe in its card: `loss.mask.kind` or `loss.kind`. Losses that name none, and published checkpoints, all were."""
    loss = checkpoint.card.get("recipe", {}).get("loss", {})
    mask = loss.get("mask", loss)
    return bool((mask.get("kind", "weighted_bce") if isinstance(mask, dict) else mask) == "weighted_bce")


def _list_file(data: Path) -> Path | None:
    """The file that lists the clips; None where a folder has none by its usual names."""
    files = (data,) if data.is_file() else (data / "manifest.csv", data / "labels.csv")
    return next((file for file in files if file.is_file()), None)


def _sha256(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror}); check the name") from error


def _version(package: str) -> str | None:
    """None for a package that runs from a checkout."""
    with suppress(PackageNotFoundError):
        return version(package)
    return None
