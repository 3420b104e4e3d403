"""The page of the miniature benchmark, as Markdown, with its pictures in a folder of its name beside it."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import get_args

import torch
from arms import arms
from orderings import SIGNIFICANT, Verdict, find_out
from pictures import draw_bars, draw_mixture, draw_noise_activation
from rows import Row
from runs import Run
from scores import PROTOCOLS, ScoringSettings
from tables import REFERENCE, gaps_table, mean_and_interval, orderings_table, results_table

from trisep.checkpoints.format import git_revision, read_card
from trisep.checkpoints.registry import checkpoint_folder
from trisep.media.files import replacing
from trisep.store.layout import read_manifest

_SYSTEMS = """
`clipsep` is asked with pictures in training, and by late fusion; `clipsep-nit` has noise heads besides;
`clipsep-text` is asked with the clips' labels as words, `clipsep-hybrid` with both in turn; `labelsep` has a learned
vector for each label; `pit` is asked with nothing; `sound-of-pixels` reads pictures with a network of its own.
`hfra-middle`, `hfra-late` and `hfra-hierarchical` differ in where the query meets the audio network; `hfra` is the
last of them, aligned to an audio teacher. `wave-u-net` and `resunet-decouple` estimate samples and are asked with
nothing, `mp-net` takes one sound after the other out of the mixture, `sgn` has a token for each label. `mixit` learns
from sums of clips, and `audioscope` which of its sounds a picture shows; `sound-filter` is asked with another stretch
of the clip and `kilgour` with that and the label at random. The arms of `vast-` read regions of the picture,
`co-separation` and `avsgs` boxes. Papers: CLIPSep (Dong et al., ICLR 2023), HFRA (Hu et al., BMVC 2025) and VAST (Tan
et al., CVPR 2023), with their baselines.
"""
_TABLE_LEGEND = f"""
Decibels of BSS Eval v3: SDRi and SIRi are improvements over the mixture, SAR is absolute. Each source is asked for
alone. A number is the mean over mixtures, of the mean over their sources and over seeds. Its interval is a bootstrap
over mixtures of that mean: it says nothing of other seeds, for which see *each seed*. *− {REFERENCE}*: difference in
SDRi to that arm asked alike, or with pictures where it is not asked so, p by a paired test over mixtures (sign flips).
*s / step*: median, on the machine named below. \\* oracle: the outputs were put in order by whoever knew the sources.
"""
_ORDERINGS_LEGEND = f"""
A claim *appears* when the difference has its sign and p < {SIGNIFICANT:g}, *does not appear* when it has the other
sign and as small a p, and otherwise *cannot be told*. The tests are not corrected for their number: of twenty, one is
expected below 0.05 by chance. Published numbers are the papers' own, of other data, sizes and measures (CLIPSep: mean
SNR, which it calls SDR; HFRA: SDR).
"""
_GAPS_LEGEND = """
How much better a system separates when it is asked with a picture than with a word, on the same mixtures. Systems
without labels have seen pictures only in training; words reach them through the shared space.
"""
_SPECTROGRAMS_LEGEND = """
The first mixtures of the list, asked in words for the first sound, as the network sees them: 0 to 8 kHz on its grid
from bottom to top, the whole clip from left to right, the mixture's loudest bin and 60 dB below it. Masks go from 0
(dark) to 1 (bright). Heat maps, of where in the picture a sound is, belong to the model that has them: see
[VAST](../vast.md).
"""
_NOISE_LEGEND = """
How much of a mixture the noise heads of noise-invariant training take (the sum of their masks' means) over the steps.
The regulariser puts a price on what is above γ, the dashed line.
"""
_DRAWN_MIXTURES = (0, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Everything that the page tells."""

    arms: Sequence[Row]
    shipped: Sequence[Row]
    baselines: Sequence[Row]
    runs: Sequence[Run]
    """The finished ones."""
    left_out: Mapping[str, str]
    """Why a run is missing, by arm and seed."""
    scoring: ScoringSettings
    store: Path
    budget_hours: float
    spent_hours: float
    command: str


def write_page(report: Report, path: Path) -> None:
    """Draw the pictures, then write the page."""
    sections = [
        "# The papers' systems in miniature",
        *_opening(report),
        _SYSTEMS,
        "## Results",
        results_table([*report.arms, *report.shipped, *report.baselines]),
        _TABLE_LEGEND,
        *_bars(report, path),
        "## The papers' orderings",
        _ORDERINGS_LEGEND,
        *_orderings(report),
        "## Words against pictures",
        _GAPS_LEGEND,
        gaps_table([*report.arms, *report.shipped]),
        *_spectrograms(report, path),
        *_noise_heads(report, path),
        "## How it was made",
        *_making(report),
    ]
    with replacing(path) as temporary:
        temporary.write_text("\n\n".join(section.strip("\n") for section in sections) + "\n", encoding="utf-8")


def _opening(report: Report) -> list[str]:
    """What was done, and the two best."""
    recipes = {run.name: run.arm.recipe for run in report.runs}
    paragraphs = []
    if recipes:
        recipe, num_seeds = next(iter(recipes.values())), len({run.seed for run in report.runs})
        width = arms(1, 1)[REFERENCE].recipe.model.unet.base_width
        paragraphs.append(
            f"{len(recipes)} systems of the papers, trained from nothing in one small size (base width {width}, where "
            f"the network is the papers' U-Net) on the same {read_manifest(report.store).num_clips} clips for "
            f"{recipe.training.num_steps} steps of {recipe.training.batch_size} mixtures, with {num_seeds} "
            f"seed{'s' * (num_seeds > 1)}. What differs is the network, the loss, and what is asked with. All are "
            "scored on the same held-out mixtures, beside the models that ship with the package and systems that "
            "need no training."
        )
    paragraphs.append(
        f"**dev** is the first {report.scoring.limit} mixtures of the protocol `avmini`: two clips of different "
        "classes at equal level. **dev + noise** is the same with an off-screen sound, 6 dB below either "
        "(`avmini-offscreen`)."
    )
    for query, words in (("text", "words"), ("image", "pictures")):
        if best := _best(report.arms, query):
            numbers = " and ".join(
                f"{mean_and_interval(best.results[name])} on {title}" for name, title in PROTOCOLS.items()
            )
            paragraphs.append(
                f"Asked with {words}, `{best.name}` is the best of the trained: {numbers} (dB of SDR improvement)."
            )
    if report.left_out:
        paragraphs.append(
            "Left out: " + "; ".join(f"{name}: {reason}" for name, reason in report.left_out.items()) + "."
        )
    return paragraphs


def _best(rows: Sequence[Row], query: str) -> Row | None:
    """The arm with the highest mean SDR improvement on dev, of those that are asked with just this."""
    means = {row.name: row.results["avmini"].mean("sdri") for row in rows if row.asked == query}
    asked = [row for row in rows if row.asked == query and means[row.name] is not None]
    return max(asked, key=lambda row: means[row.name] or 0.0, default=None)


def _bars(report: Report, path: Path) -> list[str]:
    picture = _picture(path, "bars")
    draw_bars([*report.arms, *report.shipped, *report.baselines], picture)
    return [f"![SDR improvement of every system with its interval; * oracle]({_link(picture, path)})"]


def _orderings(report: Report) -> list[str]:
    """The verdicts in a list, then the table they come from."""
    findings = find_out(report.arms)
    lines = []
    for verdict in get_args(Verdict):
        places: dict[str, list[str]] = {}
        for one in findings:
            if one.verdict == verdict:
                words = {"text": "words", "image": "pictures"}.get(one.ordering.query, one.ordering.query)
                claim = f"{one.ordering.better} over {one.ordering.worse}, asked with {words}"
                places.setdefault(claim, []).append(PROTOCOLS[one.protocol])
        claims = "; ".join(f"{claim} ({', '.join(titles)})" for claim, titles in places.items())
        lines += [f"- **{verdict}** ({sum(map(len, places.values()))} of {len(findings)}): {claims}."] if places else []
    return ["\n".join(lines), orderings_table(findings)]


def _spectrograms(report: Report, path: Path) -> list[str]:
    """Mixtures by the best arm that is asked with words, and by the first shipped model."""
    models: dict[str, Path] = {}
    if best := _best(report.arms, "text"):
        run = next(run for run in report.runs if run.name == best.name)
        models[f"{best.name} (seed {run.seed})"] = run.model
    models |= {row.name: checkpoint_folder(row.name) for row in report.shipped[:1]}
    if not models:
        return []
    paragraphs = ["## What it looks like", _SPECTROGRAMS_LEGEND]
    for index in _DRAWN_MIXTURES[: report.scoring.limit]:
        picture = _picture(path, f"mixture_{index}")
        paragraphs.append(f"![{draw_mixture(models, report.scoring.data, index, picture)}]({_link(picture, path)})")
    return paragraphs


def _noise_heads(report: Report, path: Path) -> list[str]:
    picture = _picture(path, "noise_activation")
    if not draw_noise_activation(report.runs, picture):
        return []
    return ["## Noise heads", _NOISE_LEGEND, f"![mean noise activation over steps]({_link(picture, path)})"]


def _making(report: Report) -> list[str]:
    """Date, command, machine, and what every run took."""
    revisions = sorted({str(read_card(run.model).get("git_revision") or "unknown") for run in report.runs})
    minutes: dict[str, list[str]] = {}
    for run in report.runs:
        minutes.setdefault(run.name, []).append(f"{run.seconds() / 60:.1f}")
    return [
        f"{date.today().isoformat()}, commit {git_revision() or 'unknown'}; trained at "
        f"{', '.join(revisions) or 'none'}.",
        f"```sh\n{report.command}\n```",
        f"{_processor()}, {torch.get_num_threads()} thread(s); Python {platform.python_version()}, torch "
        f"{torch.__version__}, {platform.system()}. Processor time, at most (wall time of training steps times "
        f"threads, of scoring times processes): {report.spent_hours:.2f} of the {report.budget_hours:g} hours "
        "allowed; once they are spent, no run is started.",
        "Minutes of training, seed by seed: "
        + "; ".join(f"{name} {', '.join(times)}" for name, times in minutes.items())
        + ".",
    ]


def _picture(page: Path, name: str) -> Path:
    folder = page.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.png"


def _link(picture: Path, page: Path) -> str:
    return os.path.relpath(picture, page.parent)


def _processor() -> str:
    """The processor's name, as far as the system tells it."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.is_file() else []
    name = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
    return f"{name or platform.machine()}, {os.cpu_count()} cores"
