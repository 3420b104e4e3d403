"""`trisep analyze gap`: the distance between sounds and pictures of the same clips in a network's space.

The gap is ‖mean(audio) − mean(visual)‖ of vectors of unit length (HFRA Eq. 9 and Table 5; Liang et al. 2022), 0 to 2.
The audio vector is the pooled bottleneck. The paper does not say how its width comes to equal that of the visual
vectors; here the network must be built with that width. The visual vector is the store's, of the frame (or frames) in
the middle of the clip. The intervals, and the cosines of matching and of shuffled pairs, are ours: a small gap does not
show whether sound and picture of one clip are closer than those of two.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int

from trisep.analyses.bottleneck import choose_clips, load_models, pooled_bottlenecks
from trisep.checkpoints.format import Checkpoint
from trisep.encoders import NO_ENCODER
from trisep.errors import CheckpointError, ConfigError, StoreError
from trisep.evaluation.owner import require_own_report
from trisep.evaluation.table import write_report
from trisep.figures.analysis import Clouds, draw_gap
from trisep.metrics import Interval, bootstrap_mean
from trisep.mixing.mixture import MixingConfig
from trisep.separation.separator import choose_device
from trisep.store.read import ClipStore
from trisep.training.queries import TrainingQueries

_NUM_RESAMPLES = 2000
_FIRST_COLUMNS = ("network", "checkpoint", "encoder", "clips")


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """What is measured of one network."""

    clips: int
    gap: Interval
    difference: Interval
    """Difference from the first network's gap, on the same clips; zero for the first."""
    matching: Interval
    """Mean cosine of a clip's sound and its own picture."""
    shuffled: float
    """Mean cosine of a clip's sound and another clip's picture, over all such pairs."""


def analyze_gap(
    checkpoints: Sequence[str],
    *,
    data: Path,
    out: Path,
    frames: int = 1,
    limit: int | None = None,
    seed: int = 0,
    device: str = "auto",
) -> str:
    """Return a table of how far apart sounds and pictures of the same clips lie.

    It also writes gap.md, gap.csv and gap.png to `out`.

    Args:
        checkpoints: names or folders of models; the others are compared with the first.
        data: a clip store that the encoders of the checkpoints embedded.
        out: folder of the outputs.
        frames: how many frames around the middle of a clip are averaged into its visual vector.
        limit: number of clips, drawn at random; None takes all.
        seed: seed of the bootstrap and of `limit`.
        device: the device that the networks compute on.
    """
    require_own_report(out, "gap", _FIRST_COLUMNS, verb="analyze gap")
    chosen, store = choose_device(device), ClipStore(data)
    models = load_models(checkpoints, chosen)
    clips = choose_clips(store, limit, seed)
    visual = {name: visual_vectors(model, store, clips, num_frames=frames) for name, model in models.items()}
    for name, model in models.items():
        _require_width(model, visual[name].shape[1])
    pairs = {
        name: (_unit(pooled_bottlenecks(model, store, clips, device=chosen)), visual[name])
        for name, model in models.items()
    }
    gaps = measure(pairs, seed=seed)
    text = markdown(gaps, models, store.path, num_frames=frames)
    rows = [_row(name, str(models[name].path), models[name].encoder, gap) for name, gap in gaps.items()]
    write_report(out, "gap", text, rows)
    clouds = [
        Clouds(title=f"{name}: gap {gaps[name].gap.mean:.3f}", audio=audio, visual=seen)
        for name, (audio, seen) in pairs.items()
    ]
    draw_gap(clouds, out / "gap.png")
    return text


def visual_vectors(
    checkpoint: Checkpoint, store: ClipStore, clips: Int[np.ndarray, "n"], *, num_frames: int
) -> Float[np.ndarray, "n D"]:
    """Return the mean embedding of the frames nearest to the middle of each clip, of unit length.

    Raises:
        CheckpointError: the network was trained without an encoder of pictures.
        StoreError: the store lacks the encoder's embeddings, has those of another version of it, or has clips without a
            picture.
    """
    if checkpoint.encoder == NO_ENCODER:
        raise CheckpointError(
            f"{checkpoint.path}: {checkpoint.model_name} has no embedding space with pictures, so it has no gap to "
            "measure"
        )
    queries = TrainingQueries(
        store, checkpoint.encoder, kind="image", mixing=MixingConfig(num_frames=num_frames), labels=None
    )
    if queries.encoder_fingerprint != checkpoint.encoder_fingerprint:
        raise StoreError(
            f"{store.path}: was embedded by another version of '{checkpoint.encoder}' than {checkpoint.path} was "
            f"trained with; run `trisep embed {store.path} --encoder {checkpoint.encoder} --overwrite`"
        )
    middles = [store.num_samples(clip) / store.sample_rate_hz / 2 for clip in clips.tolist()]
    return _unit(queries.read(clips.tolist(), middles, batch_number=0)["vectors"])


def measure(
    pairs: Mapping[str, tuple[Float[np.ndarray, "n D"], Float[np.ndarray, "n D"]]], *, seed: int
) -> dict[str, Gap]:
    """Measure the gap of each network from its (audio, visual) vectors of unit length.

    Rows are clips, the same ones for all networks.
    """
    gaps: dict[str, Gap] = {}
    for name, (audio, visual) in pairs.items():
        distance = float(np.linalg.norm((audio - visual).mean(axis=0)))
        resampled = _resampled_distances(audio - visual, seed)
        if not gaps:
            first = distance, resampled
        cosines = (audio * visual).sum(axis=1).astype(np.float64)
        num_clips = len(cosines)
        both_ways = float(audio.sum(axis=0, dtype=np.float64) @ visual.sum(axis=0, dtype=np.float64)) - float(
            cosines.sum()
        )
        gaps[name] = Gap(
            clips=num_clips,
            gap=_interval(distance, resampled),
            difference=_interval(distance - first[0], resampled - first[1]),
            matching=bootstrap_mean(cosines, generator=np.random.default_rng(seed)),
            shuffled=both_ways / max(1, num_clips * (num_clips - 1)),
        )
    return gaps


def markdown(gaps: Mapping[str, Gap], models: Mapping[str, Checkpoint], data: Path, *, num_frames: int) -> str:
    """Return the gaps as a Markdown table."""
    frames = "middle frame" if num_frames == 1 else f"{num_frames} middle frames"
    lines = [
        f"**Modality gap on {next(iter(gaps.values())).clips} clips of {data}**",
        "",
        "| network | audio vector | visual vector | gap [95 %] | − first [95 %] | cosine of matching pairs [95 %] | of "
        "shuffled pairs |",
        "|---|---|---|---|---|---|---:|",
    ]
    for number, (name, gap) in enumerate(gaps.items()):
        difference = (
            f"{gap.difference.mean:+.3f} [{gap.difference.low:+.3f}, {gap.difference.high:+.3f}]" if number else "–"
        )
        seen = f"{models[name].encoder}, {frames}"
        lines.append(
            f"| {name} | pooled bottleneck of the U-Net | {seen} | {_shown(gap.gap)} | {difference} | "
            f"{_shown(gap.matching)} "
            f"| {gap.shuffled:.3f} |"
        )
    lines += ["", "‖mean(audio) − mean(visual)‖ of vectors of unit length, 0 to 2; intervals by bootstrap over clips."]
    return "\n".join(lines)


def _require_width(checkpoint: Checkpoint, dim: int) -> None:
    """Raise ConfigError, before anything is computed, where the bottleneck is not as wide as the visual vectors."""
    width = checkpoint.model.unet.config.widths[-1]
    if width != dim:
        raise ConfigError(
            f"{checkpoint.path}: its bottleneck is {width} wide and the vectors of '{checkpoint.encoder}' are {dim}, "
            f"so no distance can be taken; the network needs model.unet.bottleneck_width = {dim}: train it with --set "
            f"model.unet.bottleneck_width={dim}"
        )


def _resampled_distances(differences: Float[np.ndarray, "n D"], seed: int) -> Float[np.ndarray, "R"]:
    """Return ‖mean‖ over clips drawn with replacement; equal numbers of clips and equal seeds give the same draws."""
    generator, num_clips = np.random.default_rng(seed), len(differences)
    evenly = np.full(num_clips, 1 / num_clips)
    counts = (generator.multinomial(num_clips, evenly) for _ in range(_NUM_RESAMPLES))
    return np.array([np.linalg.norm(drawn @ differences) / num_clips for drawn in counts])


def _interval(mean: float, resampled: Float[np.ndarray, "R"]) -> Interval:
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Interval(mean=mean, low=float(low), high=float(high))


def _unit(vectors: Float[np.ndarray, "n D"]) -> Float[np.ndarray, "n D"]:
    return torch.nn.functional.normalize(torch.from_numpy(vectors).float(), dim=-1).numpy()


def _shown(interval: Interval) -> str:
    return f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def _row(name: str, checkpoint: str, encoder: str, gap: Gap) -> dict[str, object]:
    """Make a line of the CSV, with one column for each end of an interval."""
    row: dict[str, object] = {"network": name, "checkpoint": checkpoint, "encoder": encoder}
    for column, value in asdict(gap).items():
        row |= (
            {f"{column}_{part}": number for part, number in value.items()}
            if isinstance(value, dict)
            else {column: value}
        )
    return row
