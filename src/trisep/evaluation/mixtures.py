"""One mixture of a protocol: it is made, separated by every system, and scored; `evaluate` does so in each process.

sources → sum → masks of the model (each query alone; all together) and estimates of the baselines → one SourceRow per
scored source
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from trisep.baselines import baseline, baseline_names, best_order, ideal_mask, run_baseline
from trisep.checkpoints.format import Checkpoint
from trisep.errors import ConfigError, MediaError
from trisep.evaluation.examples import Examples
from trisep.evaluation.queries import embed_sources
from trisep.evaluation.sounds import mix, read_clip
from trisep.media.level import gain_to, level_db
from trisep.metrics import SILENCE_DB, MixtureScorer, Scores
from trisep.metrics.bss_eval import FILTER_LENGTH
from trisep.protocols import Protocol, ProtocolMixture, ProtocolSource
from trisep.protocols.pair_files import relative_to
from trisep.separation import Precision
from trisep.separation.infer import MaskSegment, estimate, infer
from trisep.separation.precision import in_precision
from trisep.separation.separator import plan_for
from trisep.spectrogram.masks import apply_masks, exclusive_masks
from trisep.spectrogram.stft import stft
from trisep.types import MaskOutput, QueryEmbedding, SignalSettings

SILENT, TOO_SHORT, MISSING, UNREADABLE = "silent clip", "too short clip", "missing clip", "unreadable clip"
CLIP_FAULTS = (SILENT, TOO_SHORT, MISSING, UNREADABLE)
"""Why a mixture is skipped: a clip of it is of no use."""
_ORACLE = " (oracle order)"


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoringJob:
    """What is the same for every mixture of an evaluation; it is sent to other processes."""

    protocol: Protocol
    folder: Path
    """The folder that paths in the table are relative to."""
    checkpoint: Path | None
    query: str
    systems: tuple[str, ...]
    """Names of all systems in the order of the rows: the model's first, then `baselines`."""
    baselines: tuple[str, ...]
    signal: SignalSettings
    """Sample rate of the mixtures, length of a segment, and STFT of the baselines."""
    binary_masks: bool
    seed: int
    device: str
    precision: Precision
    skip_missing: bool
    boxes: Path | None = None
    """The list of a detector, for queries by boxes; None takes those that `lite` finds."""
    examples: Examples | None = None
    """The recordings from which the sounds of `--query sound` are chosen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceRow:
    """One line of the per-source table: one scored source of one mixture, by one system."""

    mixture: int
    source: int
    system: str
    label: str
    other_label: str
    group: str
    path: str
    other_path: str
    start: float
    """Where the source's segment lies in its clip (see `ProtocolSource.start`)."""
    interference: str
    level_db: float
    """RMS of the source in the mixture, in dBFS; −inf for silence, nan where it could not be read."""
    mixture_level_db: float
    seed: int
    skipped: str
    """Why there are no scores, and after a colon the file whose fault it is, where it is one file's; empty where there
    are some."""
    scores: Scores | None


def baseline_systems() -> tuple[str, ...]:
    """Return the names that `--baseline` takes: those of `trisep.baselines`, and both ideal masks."""
    names = [name.replace("_", "-") for name in baseline_names() if name != "ideal_mask"]
    return (*names, "ideal-binary-mask", "ideal-ratio-mask")


def system_names(model: Any | None, query: str, baselines: Sequence[str]) -> tuple[str, ...]:
    """Return the names of all systems as tables show them; a name says so where an oracle orders the estimates."""
    names: list[str] = []
    if model is not None:
        contract = model.contract
        names += (
            [f"model{_ORACLE}"]
            if not contract.answers_queries
            else [f"model, {query} query", f"model, both {query} queries together"]
        )
        names += [f"model, {query} query, noise heads kept{_ORACLE}"] if contract.has_noise_heads else []
    return (*names, *(name if _baseline_of(name)[0].ORDERED else f"{name}{_ORACLE}" for name in baselines))


def score_mixture(job: ScoringJob, mixture: ProtocolMixture, checkpoint: Checkpoint | None) -> list[SourceRow]:
    """Return the rows of one mixture, by system, then by source.

    The result is a pure function of the arguments, except for the processor's rounding. A mixture with a source that is
    silent or too short is none: its rows say whose fault it is. With `job.skip_missing` a file that cannot be read
    gives such rows too; otherwise it raises MediaError.
    """
    try:
        sources, total = mixture_sounds(job, mixture)
        if fault := _faulty_source(job, mixture, sources):
            return _skipped(job, mixture, fault, _levels(job, sources, total))
        estimates = _model_estimates(job, mixture, checkpoint, sources, total) if checkpoint else []
    except MediaError as error:
        if not job.skip_missing:
            raise
        return _skipped(job, mixture, _faulty_file(job, mixture, str(error)), {})
    estimates += [_baseline_estimate(job, name, sources, total, mixture.index) for name in job.baselines]
    levels, scored = _levels(job, sources, total), range(job.protocol.num_scored)
    rows, scorer = [], MixtureScorer(references=sources, mixture=total, scored=list(scored))
    for name, stems in zip(job.systems, estimates, strict=True):
        results = scorer.score(stems[: len(scored)])
        rows += _rows(job, mixture, name, levels, [result.scores or result.skipped or "" for result in results])
    return rows


def mixture_sounds(
    job: ScoringJob, mixture: ProtocolMixture
) -> tuple[Float[np.ndarray, "N S"], Float[np.ndarray, "S"]]:
    """Return the sources at their level in the mixture, and the mixture, which may also hold interference.

    Raises MediaError for an unreadable file.
    """
    protocol, rate = job.protocol, job.signal.sample_rate_hz
    length = None if protocol.whole_clips else job.signal.clip_samples
    sources = mix(mixture.sources, protocol.level_db, rate, clip_samples=length)
    if mixture.interference is None:
        return sources, sources.sum(axis=0)
    noise = np.resize(read_clip(ProtocolSource(path=mixture.interference, label=""), rate), sources.shape[1])
    reference_db = (
        protocol.level_db if protocol.level_db is not None else float(np.mean([level_db(source) for source in sources]))
    )
    return sources, sources.sum(axis=0) + noise * gain_to(noise, reference_db + protocol.interference_db)


def separate_mixture(
    checkpoint: Checkpoint,
    mixture: Float[np.ndarray, "S"],
    query: QueryEmbedding,
    *,
    device: str = "cpu",
    binary_masks: bool = False,
) -> tuple[Float[np.ndarray, "Q S"], Float[np.ndarray, "Q S"]]:
    """Return a model's estimates for one sound at its sample rate: each query alone, and all queries together."""
    masks = infer_masks(checkpoint, mixture, query, device=device).masks
    return _alone_and_together(checkpoint.signal, mixture, masks, binary_masks=binary_masks)


def infer_masks(
    checkpoint: Checkpoint,
    mixture: Float[np.ndarray, "S"],
    query: QueryEmbedding,
    *,
    device: str = "cpu",
    precision: Precision = "fp32",
) -> MaskSegment:
    """Infer the masks of a mixture with the inference chain that `separate` uses.

    Noise masks are included where the model has noise heads.
    """

    def network(log_magnitude: Float[Tensor, "B 1 256 T"]) -> MaskOutput:
        """Run the model with this query."""
        with torch.inference_mode():
            output: MaskOutput = checkpoint.model(log_magnitude, query)
            return output

    chosen = in_precision(network, precision, torch.device(device))
    plan = plan_for(checkpoint, chosen, len(mixture), device=device)
    with _noise_heads_kept(checkpoint.model):
        return infer(mixture, chosen, checkpoint.signal, plan, device=device).map(Tensor.cpu)


def infer_waveforms(
    checkpoint: Checkpoint, mixture: Float[np.ndarray, "S"], query: QueryEmbedding, *, device: str = "cpu"
) -> Float[np.ndarray, "Q S"]:
    """Infer the estimates of a model of the domain `waveform`, in single precision."""

    def network(samples: Float[Tensor, "B S"]) -> Float[Tensor, "B Q S2"]:
        """Run the model with this query."""
        with torch.inference_mode():
            estimates: Float[Tensor, "B Q S2"] = checkpoint.model(samples, query)
            return estimates

    context = checkpoint.model.contract.context_samples
    return estimate(mixture, network, checkpoint.signal, context_samples=context, device=device)


def summing_to(mixture: Float[np.ndarray, "S"], estimates: Float[np.ndarray, "Q S"]) -> Float[np.ndarray, "Q S"]:
    """Return the estimates nearest to these whose sum is the mixture: what is missing is shared out equally."""
    return np.asarray(estimates + (mixture - estimates.sum(axis=0)) / len(estimates), estimates.dtype)


def with_noise_heads(
    signal: SignalSettings, mixture: Float[np.ndarray, "S"], masks: MaskSegment, references: Float[np.ndarray, "Q S"]
) -> Float[np.ndarray, "Q S"]:
    """Return the estimates of CLIPSep-NIT with its noise heads kept.

    A noise mask is added to each query's mask, and the sum is at most 1. Which noise mask goes to which query is chosen
    by the least squared error against the sources, as an oracle would (section 3.2; in training the loss chooses in the
    same way). Where there are fewer noise masks than queries, some queries get none.
    """
    assert masks.noise_masks is not None
    spectrum, num_samples = stft(torch.from_numpy(mixture)[None], signal), len(mixture)
    summed = (masks.masks[None, :, None] + masks.noise_masks[None, None]).clamp(max=1)
    kept = apply_masks(spectrum, summed.flatten(1, 2), signal, num_samples)[0].reshape(*summed.shape[1:3], -1).numpy()
    queries, heads = linear_sum_assignment(np.square(references[:, None] - kept, dtype=np.float64).sum(axis=-1))
    estimates = apply_masks(spectrum, masks.masks[None], signal, num_samples)[0].numpy()
    estimates[queries] = kept[queries, heads]
    return np.asarray(estimates)


@contextmanager
def _noise_heads_kept(model: Any) -> Iterator[None]:
    """Keep a model's noise heads in its output while the context lasts; a model without noise heads is unchanged."""
    if not model.contract.has_noise_heads:
        yield
        return
    kept, model.keep_noise_heads = model.keep_noise_heads, True
    try:
        yield
    finally:
        model.keep_noise_heads = kept


def _alone_and_together(
    signal: SignalSettings, mixture: Float[np.ndarray, "S"], masks: Float[Tensor, "Q 256 n"], *, binary_masks: bool
) -> tuple[Float[np.ndarray, "Q S"], Float[np.ndarray, "Q S"]]:
    """Return the estimates that the masks give as they are (or binarised), and those with the masks made exclusive."""
    spectrum = stft(torch.from_numpy(mixture)[None], signal)
    alone = (masks > 0.5).to(masks.dtype) if binary_masks else masks
    first, second = (
        apply_masks(spectrum, chosen, signal, len(mixture))[0].numpy()
        for chosen in (alone[None], exclusive_masks(masks[None]))
    )
    return first, second


def _model_estimates(
    job: ScoringJob,
    mixture: ProtocolMixture,
    checkpoint: Checkpoint,
    sources: Float[np.ndarray, "N S"],
    total: Float[np.ndarray, "S"],
) -> list[Float[np.ndarray, "N S"]]:
    """Return the estimates of the model's systems, in the order of `system_names`."""
    answers = checkpoint.model.contract.answers_queries
    places: dict[str, Any] = {"boxes": job.boxes, "examples": job.examples, "device": job.device}
    query = (
        embed_sources(checkpoint, mixture.sources, job.query, job.protocol, **places) if answers else QueryEmbedding()
    )
    if checkpoint.model.contract.domain == "waveform":
        estimates = infer_waveforms(checkpoint, total, query, device=job.device)
        if answers:
            return [estimates, summing_to(total, estimates)]
        return [estimates[best_order(references=sources, estimates=estimates)]]
    found = infer_masks(checkpoint, total, query, device=job.device, precision=job.precision)
    alone, together = _alone_and_together(checkpoint.signal, total, found.masks, binary_masks=job.binary_masks)
    if not answers:
        return [alone[best_order(references=sources, estimates=alone)]]
    kept = [] if found.noise_masks is None else [with_noise_heads(checkpoint.signal, total, found, sources)]
    return [alone, together, *kept]


def _baseline_estimate(
    job: ScoringJob, name: str, sources: Float[np.ndarray, "N S"], total: Float[np.ndarray, "S"], index: int
) -> Float[np.ndarray, "N S"]:
    module, config = _baseline_of(name)
    generator = np.random.default_rng((job.seed, index))
    module_name = module.__name__.rpartition(".")[2]
    return run_baseline(module_name, total, references=sources, signal=job.signal, generator=generator, config=config)


def _baseline_of(name: str) -> tuple[ModuleType, Any]:
    """Return the module and the config behind a name of `baseline_systems`."""
    if name not in baseline_systems():
        raise ConfigError(f"unknown baseline '{name}': expected one of {', '.join(baseline_systems())}")
    if name.startswith("ideal-"):
        return ideal_mask, ideal_mask.Config(mask="binary" if name == "ideal-binary-mask" else "ratio")
    return baseline(name.replace("-", "_")), None


def _faulty_source(job: ScoringJob, mixture: ProtocolMixture, sounds: Float[np.ndarray, "N S"]) -> str:
    """Say which source makes no mixture, and why: it is silent, or so short that the filter that BSS Eval allows makes
    anything of it, and every score is infinite. Empty where there is none.
    """
    rate = job.signal.sample_rate_hz
    if sounds.shape[1] < FILTER_LENGTH:
        # Clips are cut to the shortest, so that the sounds do not tell which one that is.
        shortest = min(mixture.sources, key=lambda source: len(read_clip(source, rate)))
        return f"{TOO_SHORT}: {relative_to(shortest.path, job.folder)}"
    for source, sound in zip(mixture.sources, sounds, strict=True):
        heard = np.flatnonzero(sound)
        if heard.size and heard[-1] - heard[0] < FILTER_LENGTH - 1:
            return f"{TOO_SHORT}: {relative_to(source.path, job.folder)}"
        if level_db(sound) < SILENCE_DB:
            return f"{SILENT}: {relative_to(source.path, job.folder)}"
    return ""


def _faulty_file(job: ScoringJob, mixture: ProtocolMixture, message: str) -> str:
    """Say which file an error's message is about, and of what kind the error is."""
    files = [path for source in mixture.sources for path in (source.path, source.picture) if path]
    files += [mixture.interference] if mixture.interference else []
    named = next((f": {relative_to(path, job.folder)}" for path in files if message.startswith(str(path))), "")
    return (MISSING if "no such file" in message else UNREADABLE) + named


def _levels(job: ScoringJob, sources: Float[np.ndarray, "N S"], total: Float[np.ndarray, "S"]) -> dict[str, float]:
    """Measure the mixture and the scored sources in it, under the names that `_rows` reads."""
    scored = range(job.protocol.num_scored)
    return {"mixture_level_db": level_db(total), **{f"{source}": level_db(sources[source]) for source in scored}}


def _skipped(job: ScoringJob, mixture: ProtocolMixture, reason: str, levels: Mapping[str, float]) -> list[SourceRow]:
    """Make the rows of a mixture that is not scored."""
    reasons = [reason] * job.protocol.num_scored
    return [row for name in job.systems for row in _rows(job, mixture, name, levels, reasons)]


def _rows(
    job: ScoringJob, mixture: ProtocolMixture, system: str, levels: Mapping[str, float], results: Sequence[Scores | str]
) -> list[SourceRow]:
    """Make one row per scored source; a result is its scores, or why there are none."""
    rows = []
    for index, result in enumerate(results):
        source, others = (
            mixture.sources[index],
            [other for number, other in enumerate(mixture.sources) if number != index],
        )
        rows.append(
            SourceRow(
                mixture=mixture.index,
                source=index,
                system=system,
                label=source.label,
                other_label=" + ".join(other.label for other in others),
                group=source.group,
                path=relative_to(source.path, job.folder),
                other_path=" + ".join(relative_to(other.path, job.folder) for other in others),
                start=source.start,
                interference=relative_to(mixture.interference, job.folder) if mixture.interference else "",
                level_db=levels.get(str(index), float("nan")),
                mixture_level_db=levels.get("mixture_level_db", float("nan")),
                seed=job.seed,
                skipped=result if isinstance(result, str) else "",
                scores=None if isinstance(result, str) else result,
            )
        )
    return rows
