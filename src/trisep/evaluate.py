"""`trisep evaluate`: protocol (pair list) → separations → metrics → table.

Every mixture is scored for the model, each query asked alone and both together, and for the ceiling, the ideal ratio mask. The floor is
the mixture itself, which all improvements are against.
"""

import csv
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from rich.console import Console
from rich.progress import track

from trisep.arguments import EvaluateArguments
from trisep.baselines import ideal_mask
from trisep.catalogue import checkpoint_folder
from trisep.checkpoint import Checkpoint, git_revision, load_model
from trisep.encoders import load_encoder
from trisep.media.audio import read_audio
from trisep.media.output import replacing
from trisep.media.probe import probe
from trisep.media.video import read_frames
from trisep.metrics import Scores, bootstrap_mean, score_separation
from trisep.protocols import ProtocolMixture, ProtocolSource, protocol
from trisep.spectrogram.masks import apply_masks, exclusive_masks, network_input, pad_frames
from trisep.spectrogram.stft import stft
from trisep.types import QueryEmbedding

_NUM_FRAMES = 3


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One line of the per-source table."""

    mixture: int
    source: int
    system: str
    label: str
    other_label: str
    path: str
    skipped: str
    scores: Scores | None


def run(arguments: EvaluateArguments) -> int:
    """The verb: score, print the table, and write it where `--out` says."""
    rules = protocol(arguments.protocol)
    mixtures = rules.mixtures(arguments.data, seed=arguments.seed, limit=arguments.limit)
    checkpoint = checkpoint_folder(arguments.checkpoint)
    load_model(checkpoint)
    rows = evaluate(checkpoint, mixtures, arguments.query, num_workers=arguments.workers or multiprocessing.cpu_count())
    table = summarise(rows, rules.SPLITS, seed=arguments.seed)
    text = markdown(table, title=f"{arguments.checkpoint} · {arguments.protocol} · {len(mixtures)} mixtures · {arguments.query} query")
    print(text)
    if arguments.out is not None:
        write_rows(rows, arguments.out / f"{arguments.query}.csv")
        summary = {"checkpoint": arguments.checkpoint, "git_revision": git_revision(), "seed": arguments.seed, "table": table}
        for name, content in ((f"{arguments.query}.json", json.dumps(summary, indent=1)), (f"{arguments.query}.md", text)):
            with replacing(arguments.out / name) as temporary:
                temporary.write_text(content + "\n", encoding="utf-8")
    return 0


def evaluate(checkpoint: Path, mixtures: Sequence[ProtocolMixture], query: str, *, num_workers: int = 1) -> list[SourceRow]:
    """Score every source of every mixture, in order; the result does not depend on the number of processes."""
    context = multiprocessing.get_context("spawn")
    # One thread a process: the environment is read when a worker imports the linear algebra libraries.
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
    with ProcessPoolExecutor(num_workers, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        results = pool.map(_score_mixture, [checkpoint] * len(mixtures), mixtures, [query] * len(mixtures))
        return [row for rows in track(results, "evaluate", len(mixtures), console=Console(stderr=True)) for row in rows]


def mix(sources: Sequence[ProtocolSource], level_db: float, sample_rate_hz: int) -> Float[np.ndarray, "N S"]:
    """The sources at their level, cut to the shortest."""
    sounds = [read_audio(source.path, sample_rate_hz=sample_rate_hz, mono=True).samples[0] for source in sources]
    length = min(map(len, sounds))
    return np.stack([sound[:length] * _gain(sound, level_db) for sound in sounds])


def separate_mixture(
    checkpoint: Checkpoint, mixture: Float[np.ndarray, "S"], vectors: Float[torch.Tensor, "Q D"]
) -> tuple[Float[np.ndarray, "Q S"], Float[np.ndarray, "Q S"]]:
    """The model's own chain on one sound at the model's rate, brought to the training level and back: queries asked alone, and together."""
    signal = checkpoint.signal
    waveform = torch.from_numpy(mixture)[None]
    spectrum = stft(waveform, signal)
    heard = spectrum.abs() * float(_gain(mixture, signal.mixture_level_db))
    with torch.inference_mode():
        log_magnitude = pad_frames(network_input(heard, signal), checkpoint.model.time_multiple)  # type: ignore[arg-type]
        masks = checkpoint.model(log_magnitude, QueryEmbedding(vectors=vectors[None])).masks[..., : spectrum.shape[-1]]
        alone, together = (apply_masks(spectrum, chosen, signal, len(mixture))[0].numpy() for chosen in (masks, exclusive_masks(masks)))
    return alone, together


def summarise(rows: Sequence[SourceRow], splits: dict[str, Callable[[str], bool]], *, seed: int) -> list[dict[str, float | str]]:
    """Mean, median, 95 % bootstrap interval and share improved, per system and split; sources skipped are counted."""
    table: list[dict[str, float | str]] = []
    for system in dict.fromkeys(row.system for row in rows):
        for split, belongs in {"all": lambda _: True, **splits}.items():
            chosen = [row for row in rows if row.system == system and belongs(row.label)]
            scores = [row.scores for row in chosen if row.scores is not None]
            if not scores:
                continue
            entry: dict[str, float | str] = {"system": system, "split": split, "sources": len(scores), "skipped": len(chosen) - len(scores)}
            for metric in ("sdri", "si_sdri"):
                values = np.array([getattr(score, metric) for score in scores])
                interval = bootstrap_mean(values, generator=np.random.default_rng(seed))
                entry |= {metric: interval.mean, f"{metric}_low": interval.low, f"{metric}_high": interval.high}
                entry |= {f"{metric}_median": float(np.median(values)), f"{metric}_improved": float((values > 0).mean())}
            entry |= {name: float(np.mean([getattr(score, name) for score in scores])) for name in ("sdr", "sir", "sar", "snr", "si_sdr")}
            table.append(entry)
    return table


def markdown(table: Sequence[dict[str, float | str]], *, title: str) -> str:
    """The summary as a Markdown table; improvements are over the mixture, in dB."""
    names = ["system", "sources", "n (skipped)"]
    names += [column for ratio in ("SDRi", "SI-SDRi") for column in (f"{ratio} mean [95 %]", "median", "improved")] + ["SDR", "SIR", "SAR"]
    lines = [f"**{title}**", "", "| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    for entry in table:
        cells = [str(entry["system"]), str(entry["split"]), f"{entry['sources']} ({entry['skipped']})"]
        for metric in ("sdri", "si_sdri"):
            cells.append(f"{entry[metric]:.2f} [{entry[f'{metric}_low']:.2f}, {entry[f'{metric}_high']:.2f}]")
            cells += [f"{entry[f'{metric}_median']:.2f}", f"{100 * float(entry[f'{metric}_improved']):.0f} %"]
        cells += [f"{entry[metric]:.2f}" for metric in ("sdr", "sir", "sar")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_rows(rows: Sequence[SourceRow], path: Path) -> None:
    """Every source's scores as CSV."""
    names = [entry for entry in Scores.__dataclass_fields__]
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["mixture", "source", "system", "label", "other_label", "path", "skipped", *names])
        for row in rows:
            values = [f"{value:.6f}" for value in asdict(row.scores).values()] if row.scores else [""] * len(names)
            writer.writerow([row.mixture, row.source, row.system, row.label, row.other_label, row.path, row.skipped, *values])


def _score_mixture(path: Path, mixture: ProtocolMixture, query: str) -> list[SourceRow]:
    checkpoint = _load_once(path)
    sources = mix(mixture.sources, mixture.level_db, checkpoint.signal.sample_rate_hz)
    heard = sources.sum(axis=0)
    alone, together = separate_mixture(checkpoint, heard, torch.stack(list(_query_vectors(checkpoint, mixture, query))))
    estimates = {
        f"model, {query} query": alone,
        f"model, both {query} queries together": together,
        "ideal ratio mask": ideal_mask.estimate(heard, references=sources, signal=checkpoint.signal),
    }
    rows = []
    for system, estimate in estimates.items():
        for index, result in enumerate(score_separation(references=sources, estimates=estimate, mixture=heard)):
            source, other = mixture.sources[index], mixture.sources[1 - index]
            name = f"{source.path.parent.name}/{source.path.name}"
            rows.append(SourceRow(mixture.index, index, system, source.label, other.label, name, result.skipped or "", result.scores))
    return rows


def _query_vectors(checkpoint: Checkpoint, mixture: ProtocolMixture, query: str) -> Iterator[Float[torch.Tensor, "D"]]:
    """Text: the source's words. Image: the mean over three frames around the middle, 1 s apart."""
    for source in mixture.sources:
        yield _text_vector(checkpoint.encoder, source.text) if query == "text" else _image_vector(checkpoint.encoder, source.path)


@lru_cache(maxsize=1)
def _load_once(path: Path) -> Checkpoint:
    return load_model(path)


@lru_cache(maxsize=1024)
def _text_vector(encoder: str, text: str) -> Float[torch.Tensor, "D"]:
    return load_encoder(encoder).encode_text([text])[0]


@lru_cache(maxsize=1024)
def _image_vector(encoder: str, path: Path) -> Float[torch.Tensor, "D"]:
    centre = probe(path).duration_seconds / 2
    frames = read_frames(path, [centre + offset for offset in range(-(_NUM_FRAMES // 2), _NUM_FRAMES // 2 + 1)])
    return load_encoder(encoder).encode_image(list(frames)).mean(dim=0)


def _gain(sound: Float[np.ndarray, "S"], level_db: float) -> np.float32:
    """Factor that brings a sound to an RMS level in dBFS."""
    rms = float(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))
    return np.float32(10 ** (level_db / 20) / max(rms, 1e-9))
