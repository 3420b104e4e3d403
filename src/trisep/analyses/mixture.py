"""`trisep analyze mixture`: one mixture as a network takes it apart: truth, estimates, noise heads, masks.

Source: CLIPSep, Figs. 5 and 12 to 15 (mixture, sources through their ideal binary masks, prediction, noise heads, and
the masks), and Fig. 16 (the same mixture asked in several wordings). All is drawn on the network's logarithmic grid;
the paper draws its masks on the linear one.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from trisep.baselines import best_order
from trisep.checkpoints.format import Checkpoint, load_model
from trisep.errors import ConfigError
from trisep.evaluation.mixtures import ScoringJob, infer_masks, mixture_sounds
from trisep.evaluation.owner import require_own_report
from trisep.evaluation.pairs import pair_list
from trisep.evaluation.queries import embed_sources
from trisep.evaluation.run import plan
from trisep.evaluation.table import write_report
from trisep.figures.mixture import Column, draw_columns
from trisep.media.level import gain_to
from trisep.metrics import score_separation
from trisep.protocols import ProtocolMixture
from trisep.protocols import protocol as protocol_named
from trisep.separation.infer import MaskSegment
from trisep.separation.separator import load
from trisep.spectrogram.log_frequency import to_log_frequency
from trisep.spectrogram.masks import apply_masks
from trisep.spectrogram.stft import stft
from trisep.types import QueryEmbedding


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What one query, or one noise head, makes of the mixture."""

    asked: str
    sdri: float
    """Against the first source, in dB; nan for a noise head, and where there is no score."""
    mean_mask: float


def analyze_mixture(
    checkpoint: str,
    *,
    data: Path,
    out: Path,
    protocol: str = "avmini",
    mixture: int = 0,
    query: str = "text",
    words: Sequence[str] = (),
    seed: int = 0,
    device: str = "auto",
) -> str:
    """Return a table of what a model makes of one mixture; it also writes mixture.md, .csv and .png to `out`.

    Args:
        checkpoint: name or folder of a model of spectrograms.
        data: the list of the protocol's clips, as for `evaluate`.
        out: folder of the outputs.
        protocol: name of the protocol.
        mixture: which of its list, from 0.
        query: the kind of query, as for `evaluate`.
        words: texts that the first source is asked with as they stand, one after the other; none asks as `query` says.
        seed: seed of the pair list.
        device: the device that the model computes on.
    """
    require_own_report(out, "mixture", [field.name for field in fields(Estimate)], verb="analyze mixture")
    chosen = protocol_named(protocol)
    job = plan(checkpoint, chosen, data, query=query, seed=seed, device=device)
    loaded = _loaded(job, words)
    found = next(islice(pair_list(chosen, data, seed=seed)(), mixture, None), None)
    if found is None:
        raise ConfigError(f"--mixture {mixture}: the list of '{protocol}' has fewer mixtures, counted from 0")
    sources, total = mixture_sounds(job, found)
    names, embedded = _queries(loaded, found, job, words)
    masks = infer_masks(loaded, total, embedded, device=job.device)
    if not loaded.model.contract.answers_queries:
        names, masks = _first_source_first(loaded, masks, sources, total)
    estimates = _estimates(loaded, names, masks, sources, total)
    columns = [*_truth(loaded, found, sources, total, masks), *_predicted(names, masks)]
    title = f"{found.sources[0].label} in {' + '.join(source.label for source in found.sources)} · {checkpoint}"
    text = markdown(estimates, title)
    write_report(out, "mixture", text, [asdict(one) for one in estimates])
    draw_columns(columns, out / "mixture.png", signal=loaded.signal, title=title)
    return text


def _loaded(job: ScoringJob, words: Sequence[str]) -> Checkpoint:
    """Load the model; ConfigError for one of samples, or for words to one that reads none."""
    assert job.checkpoint is not None
    checkpoint = load_model(job.checkpoint)
    contract, name = checkpoint.model.contract, checkpoint.model_name
    if contract.domain != "spectrogram":
        raise ConfigError(f"{checkpoint.path}: {name} makes no masks to draw; give a model of spectrograms")
    if words and contract.reads not in ("vectors", "regions"):
        raise ConfigError(f"{checkpoint.path}: {name} reads {contract.reads}, no words: leave --words out")
    if contract.answers_queries:
        return load(job.checkpoint, device=job.device).checkpoint
    checkpoint.model.to(job.device)
    return checkpoint


def _queries(
    checkpoint: Checkpoint, mixture: ProtocolMixture, job: ScoringJob, words: Sequence[str]
) -> tuple[list[str], QueryEmbedding]:
    """Return the names of the queries and their embedding: the given words, or the first source as the job asks."""
    first = mixture.sources[0]
    if not checkpoint.model.contract.answers_queries:
        return [], QueryEmbedding()
    if not words:
        return [f"{job.query}: {first.query or first.label}" if job.query == "text" else f"{job.query} query"], (
            embed_sources(checkpoint, [first], job.query, job.protocol, device=job.device)
        )
    asked = [replace(first, label=text, query=text) for text in words]
    verbatim = replace(job.protocol, templates=("{}",))
    return [f"“{text}”" for text in words], embed_sources(checkpoint, asked, "text", verbatim, device=job.device)


def _first_source_first(
    checkpoint: Checkpoint, masks: MaskSegment, sources: Float[np.ndarray, "N S"], total: Float[np.ndarray, "S"]
) -> tuple[list[str], MaskSegment]:
    """Put the interchangeable masks of a model without queries in the order of the sources, as an oracle would."""
    order = best_order(references=sources, estimates=_sounds(checkpoint, masks, total)).tolist()
    ordered = replace(masks, masks=masks.masks[order], logits=None)
    return [f"output {number} (oracle order)" for number in range(1, len(order) + 1)], ordered


def _truth(
    checkpoint: Checkpoint,
    mixture: ProtocolMixture,
    sources: Float[np.ndarray, "N S"],
    total: Float[np.ndarray, "S"],
    masks: MaskSegment,
) -> list[Column]:
    """Return the mixture, and every source through its ideal binary mask: 1 where it is louder than all others."""
    signal, heard = checkpoint.signal, masks.magnitude.numpy()
    gain = 1.0 if signal.mixture_level_db is None else gain_to(total, signal.mixture_level_db)
    magnitudes = to_log_frequency(stft(torch.from_numpy(sources * gain).float(), signal).abs(), signal.num_log_bins)
    magnitudes = magnitudes[..., : heard.shape[-1]]
    columns = [Column(title="mixture", magnitude=heard)]
    for index, source in enumerate(mixture.sources):
        others = magnitudes.sum(dim=0) - magnitudes[index]
        ideal = (magnitudes[index] > others).numpy().astype(np.float32)
        columns.append(Column(title=f"truth: {source.label}", magnitude=heard * ideal, mask=ideal))
    return columns


def _predicted(names: Sequence[str], masks: MaskSegment) -> list[Column]:
    """Return a column for each query, then one for each noise head."""
    heard = masks.magnitude.numpy()
    columns = [
        Column(title=name, magnitude=heard * mask, mask=mask)
        for name, mask in zip(names, masks.masks.numpy(), strict=True)
    ]
    for number, mask in enumerate(() if masks.noise_masks is None else masks.noise_masks.numpy(), start=1):
        columns.append(Column(title=f"noise head {number}", magnitude=heard * mask, mask=mask))
    return columns


def _estimates(
    checkpoint: Checkpoint,
    names: Sequence[str],
    masks: MaskSegment,
    sources: Float[np.ndarray, "N S"],
    total: Float[np.ndarray, "S"],
) -> list[Estimate]:
    """Score each query's estimate against the first source; a model without queries has an output for every source."""
    sounds = _sounds(checkpoint, masks, total)
    in_order = not checkpoint.model.contract.answers_queries
    found = []
    for index, (name, mask) in enumerate(zip(names, masks.masks, strict=True)):
        scored = [index if in_order else 0]
        one = sounds[index : index + 1]
        (result,) = score_separation(references=sources, estimates=one, mixture=total, scored=scored)
        sdri = result.scores.sdri if result.scores else float("nan")
        found.append(Estimate(asked=name, sdri=sdri, mean_mask=float(mask.mean())))
    for number, mask in enumerate(() if masks.noise_masks is None else masks.noise_masks, start=1):
        found.append(Estimate(asked=f"noise head {number}", sdri=float("nan"), mean_mask=float(mask.mean())))
    return found


def _sounds(checkpoint: Checkpoint, masks: MaskSegment, total: Float[np.ndarray, "S"]) -> Float[np.ndarray, "Q S"]:
    """Apply each mask alone to the mixture."""
    spectrum = stft(torch.from_numpy(total)[None], checkpoint.signal)
    return np.asarray(apply_masks(spectrum, masks.masks[None], checkpoint.signal, len(total))[0].numpy())


def markdown(estimates: Sequence[Estimate], title: str) -> str:
    """Return the estimates as a Markdown table."""
    lines = [f"**{title}**", "", "| asked | SDRi (dB) | mean of the mask |", "|---|---:|---:|"]
    for one in estimates:
        score = f"{one.sdri:.2f}" if np.isfinite(one.sdri) else "–"
        lines.append(f"| {one.asked} | {score} | {one.mean_mask:.3f} |")
    return "\n".join(lines)
