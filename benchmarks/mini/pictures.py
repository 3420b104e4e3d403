"""Pictures of the miniature benchmark's page: bars with intervals, spectrograms and masks of two mixtures, noise heads
over steps.
"""

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image
from rows import Row
from runs import Run
from scores import PROTOCOLS

from trisep.checkpoints.format import Checkpoint, load_model
from trisep.evaluation.mixtures import infer_masks
from trisep.evaluation.queries import embed_sources
from trisep.evaluation.sounds import mix
from trisep.figures.saving import save_figure
from trisep.figures.sheet import draw_sheet
from trisep.losses.noise_invariant import PAPER_LEVEL
from trisep.media.files import replacing
from trisep.media.level import gain_to
from trisep.protocols import ProtocolMixture, protocol
from trisep.spectrogram.log_frequency import to_log_frequency
from trisep.spectrogram.masks import ratio_mask
from trisep.spectrogram.stft import stft

_RANGE_DB = 60.0
_COLOURS = {
    **{"text": "tab:blue", "image": "tab:orange", "": "0.6"},
    **{"video": "tab:red", "boxes": "tab:green", "sound": "tab:purple"},
}
_BLOCK = 4
"""Frames and rows that are averaged into one dot of a spectrogram: what can be seen at its printed size."""
_NUM_COLOURS = 48


def draw_bars(rows: Sequence[Row], path: Path) -> None:
    """SDR improvement of every row with its 95 % interval, one panel for each protocol."""
    figure = Figure(figsize=(11, 1.2 + 0.26 * len(rows)), layout="constrained")
    panels = figure.subplots(1, len(PROTOCOLS), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (name, title) in zip(panels, PROTOCOLS.items(), strict=True):
        for place, row in enumerate(rows):
            if (interval := row.results[name].interval("sdri")) is None:
                continue
            low, high = interval.mean - interval.low, interval.high - interval.mean
            axes.barh(
                place,
                interval.mean,
                color=_COLOURS[row.query],
                xerr=[[low], [high]],
                error_kw={"elinewidth": 1, "capsize": 2},
            )
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set(title=title, xlabel="SDR improvement (dB), mean and 95 % interval")
        axes.grid(axis="x", alpha=0.3)
        axes.margins(y=0.01)
    names = [f"{row.name}, {row.asked}" if row.query else row.name for row in rows]
    panels[0].set(
        yticks=range(len(rows)), yticklabels=[name + " *" * row.oracle for name, row in zip(names, rows, strict=True)]
    )
    panels[0].invert_yaxis()
    _save(figure, path)


def draw_noise_activation(runs: Sequence[Run], path: Path) -> bool:
    """What the noise heads take over the steps of each run that has some, and γ; False when no run has."""
    logs = {
        f"{run.name}, seed {run.seed}": [entry for entry in run.log() if "noise_activation" in entry] for run in runs
    }
    logs = {name: entries for name, entries in logs.items() if entries}
    if not logs:
        return False
    figure = Figure(figsize=(7, 3.4), layout="constrained")
    axes = figure.subplots()
    for name, entries in logs.items():
        axes.plot([entry["step"] for entry in entries], [entry["noise_activation"] for entry in entries], label=name)
    axes.axhline(PAPER_LEVEL, color="black", linestyle="--", linewidth=1, label=f"γ = {PAPER_LEVEL:g}")
    axes.set(xlabel="step", ylabel="sum of the noise masks' means", ylim=(0, None))
    axes.legend()
    axes.grid(alpha=0.3)
    _save(figure, path)
    return True


def draw_mixture(models: Mapping[str, Path], data: Path, index: int, path: Path) -> str:
    """Spectrograms and masks of one mixture's first source, as models (by title) make them of its label; returns "A in
    A + B".
    """
    rules = protocol("avmini")
    mixture = next(islice(rules.pairs(data, 0), index, None))
    first, *others = mixture.sources
    panels: list[tuple[str, UInt8[np.ndarray, "H W 3"]]] = []
    masks: list[tuple[str, UInt8[np.ndarray, "H W 3"]]] = []
    for title, folder in models.items():
        checkpoint = load_model(folder)
        heard, truth, mask = _separated(checkpoint, mixture)
        if not panels:
            top = float(heard.max())
            panels = [("mixture", _level(heard, top)), (f"truth: {first.label}", _level(truth, top))]
            ratio = ratio_mask(truth[None, None], heard[None])[0, 0].numpy()
            masks = [
                ("ideal binary mask", _shades((ratio > 0.5).astype(float), "viridis")),
                ("ideal ratio mask", _shades(ratio, "viridis")),
            ]
        panels.append((f"estimate: {title}", _level(heard * mask, top)))
        masks.append((f"mask: {title}", _shades(mask.numpy(), "viridis")))
    draw_sheet([*panels, *masks], path, num_columns=len(panels))
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(_NUM_COLOURS)
    with replacing(path) as temporary:
        small.save(temporary, format="png", optimize=True)
    return f"{first.label} in {' + '.join([first.label, *(other.label for other in others)])}"


def _separated(checkpoint: Checkpoint, mixture: ProtocolMixture) -> tuple[Float[torch.Tensor, "256 T"], ...]:
    """On the network's grid: the mixture, its first source, and the mask for that source's label."""
    rules, signal = protocol("avmini"), checkpoint.signal
    sources = mix(mixture.sources, rules.level_db, signal.sample_rate_hz)
    heard = sources.sum(axis=0)
    found = infer_masks(checkpoint, heard, embed_sources(checkpoint, mixture.sources, "text", rules))
    alone = torch.from_numpy(sources[0] * gain_to(heard, signal.mixture_level_db))
    return found.magnitude, to_log_frequency(stft(alone, signal).abs(), signal.num_log_bins), found.masks[0]


def _level(magnitude: Float[torch.Tensor, "256 T"], top: float) -> UInt8[np.ndarray, "H W 3"]:
    """Level below the mixture's loudest bin, in colours."""
    level = 20 * np.log10(_blocks(magnitude.numpy()) / top + 1e-9)
    return _coloured(1 + level / _RANGE_DB, "magma")


def _shades(mask: Float[np.ndarray, "256 T"], colours: str) -> UInt8[np.ndarray, "H W 3"]:
    return _coloured(_blocks(mask), colours)


def _blocks(values: Float[np.ndarray, "256 T"]) -> Float[np.ndarray, "H W"]:
    """Means of blocks of dots; what is left over at the end of time is cut off."""
    rows, frames = values.shape[0] // _BLOCK, values.shape[1] // _BLOCK
    return np.asarray(
        values[: rows * _BLOCK, : frames * _BLOCK].reshape(rows, _BLOCK, frames, _BLOCK).mean(axis=(1, 3))
    )


def _coloured(values: Float[np.ndarray, "H W"], colours: str) -> UInt8[np.ndarray, "H W 3"]:
    """Values from 0 to 1 as a picture, low frequencies at the bottom, each dot a square of four."""
    picture = (colormaps[colours](values[::-1].clip(0, 1))[..., :3] * 255).astype(np.uint8)
    return picture.repeat(2, axis=0).repeat(2, axis=1)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_figure(figure, path, dpi=100)
