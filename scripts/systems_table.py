"""The tables of all systems and all figures of the papers, made from the code and the results: docs/systems.md.

    python scripts/systems_table.py [--write]

A system runs if it is a recipe or a baseline here. What it was trained for and what it scored is read from the rows of
docs/results/mini.md and, where it has none there, of docs/results/mini_further.md. Without --write the page is printed.
"""

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from trisep.baselines import baseline_names
from trisep.media.files import replacing
from trisep.recipes import recipe_names

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "systems.md"
RESULTS = ("mini.md", "mini_further.md")
"""Pages of results. A system that has rows on both is told by the first."""
NOT_BUILT = "not built"


@dataclass(frozen=True)
class System:
    """A system as a paper's table names it."""

    name: str
    table: str
    recipe: str = ""
    """Its recipe; empty where it has none."""
    baseline: str = ""
    """Its file in `trisep.baselines`."""
    row: str = ""
    """Its row on a page of results."""
    stands_in: str = ""
    """The row of another system that stands for it in miniature."""


@dataclass(frozen=True)
class Row:
    """What a page of results says of a system: its first row there."""

    page: str
    asked: str
    score: str
    """SDR improvement on dev, in dB."""
    trained: str
    """Steps, mixtures of a step and seeds, or that it ships."""


@dataclass(frozen=True)
class Figure:
    """A figure of a paper: what it shows, how it is drawn here, and a picture that was drawn so."""

    figure: str
    shows: str
    command: str
    picture: str
    """A path below docs, or why there is none."""


SYSTEMS = (
    System("CLIPSep", "CLIPSep 2, 3, 6", "clipsep", row="clipsep"),
    System("CLIPSep-NIT", "CLIPSep 3", "clipsep-nit", row="clipsep-nit"),
    System("CLIPSep-Text", "CLIPSep 2, 3", "clipsep-text", row="clipsep-text"),
    System("CLIPSep-Hybrid", "CLIPSep 2", "clipsep-hybrid", row="clipsep-hybrid"),
    System("CLIPSep, middle fusion", "CLIPSep App. C", "clipsep-middle", row="clipsep-middle"),
    System("BERTSep", "CLIPSep 3", "clipsep-bertsep", stands_in="clipsep-text"),
    System("LabelSep", "CLIPSep 2, 3", "clipsep-labelsep", row="labelsep"),
    System("PIT", "CLIPSep 2, 3, 6", "clipsep-pit", row="pit"),
    System("Sound of Pixels", "CLIPSep 2, 3; VAST 1–3; HFRA 1, 2", "clipsep-sop", row="sound-of-pixels"),
    System("MixIT", "CLIPSep 1", "mixit", row="mixit"),
    System("MixIT with query heads", "CLIPSep 1", "mixit-queried", row="mixit-queried"),
    System("SoundFilter: a sound as query", "CLIPSep 1", "sound-filter", row="sound-filter"),
    System("Kilgour: text or sound as query", "CLIPSep 1", "kilgour", row="kilgour"),
    System("AudioScope", "CLIPSep 1", "audioscope", row="audioscope"),
    System("VAST", "VAST 1–11", "vast", row="vast"),
    System("AV-Mix-and-Separate", "VAST 1–3; HFRA 2", "vast-av-mix", row="vast-av-mix"),
    System("Sound of Pixels on CLIP", "VAST 4", "vast-sop-clip", row="vast-sop-clip"),
    System("Co-Separation", "VAST 1–3", "co-separation", row="co-separation"),
    System("AVSGS", "VAST 1–3", "avsgs", row="avsgs"),
    System("NMF-MFCC", "VAST 1–3; HFRA 1, 2", baseline="nmf_mfcc", row="nmf-mfcc"),
    System("HFRA", "HFRA 1–6", "hfra", row="hfra"),
    System("HFRA, hierarchical alone", "HFRA 1, 2, 4–6", "hfra-hierarchical", row="hfra-hierarchical"),
    System("HFRA, middle fusion", "HFRA 1–3, 6", "hfra-middle", row="hfra-middle"),
    System("HFRA, late fusion", "HFRA 1–3, 6", "hfra-late", row="hfra-late"),
    System("HFRA, late fusion, aligned", "HFRA 6", "hfra-late-aligned", row="hfra-late-aligned"),
    System("RPCA", "HFRA 1", baseline="rpca", row="rpca"),
    System("Wave-U-Net", "HFRA 1", "wave-u-net", row="wave-u-net"),
    System("ResUNetDecouple+", "HFRA 1", "resunet-decouple", row="resunet-decouple"),
    System("MP-Net", "HFRA 1", "mp-net", row="mp-net"),
    System("SGN", "HFRA 1", "sgn", row="sgn"),
    System("mixture", "CLIPSep 3, 6", baseline="mixture", row="mixture"),
    System("ideal ratio mask", "the ceiling", baseline="ideal_mask", row="ideal-ratio-mask"),
)


FIGURES = (
    Figure("CLIPSep 1–3, 7, 8; HFRA 2; VAST 1–4, 7, 8", "the methods, as diagrams", "–", "data_flow.md"),
    Figure("CLIPSep 4", "scores by queries of training and test", "python benchmarks/mini …", "results/mini/bars.png"),
    Figure(
        "CLIPSep 5, 12–15; HFRA 3",
        "mixture, truth, estimate, noise heads, masks",
        "trisep analyze mixture MODEL --data LIST …",
        "results/mini/taken_apart.png",
    ),
    Figure(
        "CLIPSep 6",
        "γ against scores and noise activation",
        "python benchmarks/mini/noise_level.py PAGE --out FILE",
        "results/mini/noise_level.png",
    ),
    Figure(
        "CLIPSep 9, 10",
        "losses by image and by text, test scores, over steps",
        "python benchmarks/mini/over_steps.py ARM… --figure FILE …",
        "results/mini/over_steps.png",
    ),
    Figure(
        "CLIPSep 11", "noise activation over steps", "python benchmarks/mini …", "results/mini/noise_activation.png"
    ),
    Figure(
        "CLIPSep 16",
        "one mixture in several wordings",
        "trisep analyze mixture MODEL --data LIST --words TEXT …",
        "results/mini/wordings.png",
    ),
    Figure(
        "HFRA 1",
        "which classes gain by late over middle fusion, and what their sounds are like",
        "trisep analyze fusion LATE MIDDLE --media FOLDER …",
        "results/mini/fusion_acoustics.png",
    ),
    Figure(
        "VAST 5", "where a separated sound is seen", "trisep localize VIDEO TEXT --by audio", "images/vast_demo.png"
    ),
    Figure("VAST 6", "spectrograms by query", "trisep analyze mixture … --words TEXT…", "results/mini/wordings.png"),
    Figure("VAST 9", "where a latent caption points", "trisep localize VIDEO --by caption", "images/caption.png"),
    Figure(
        "VAST, App. H",
        "per query its sound, then its heat map",
        "python examples/vast_demo.py VIDEO TEXT…",
        "images/vast_demo.png",
    ),
)

HEAD = """# Every system and every figure of the papers

Made by `python scripts/systems_table.py --write` from the code, from [the results in miniature](results/mini.md) and
from [those of further systems](results/mini_further.md), whose numbers are to be compared within a page; a test
compares it with what the script prints. "–": classical systems are not trained. Published sizes were trained for none
of them here; [their settings](paper_numbers.md) are the papers'.

BERTSep is CLIPSep-Text on BERT, whose weights were not at hand: in miniature the words of `lite`, which are MiniLM's,
stand for it. † The mean over two seeds of different days, whose intervals stand in the linked page.

## Systems

| system | named in | runs | trained in miniature | evaluated: SDRi on dev | figure |
|---|---|---|---|---|---|"""
FIGURES_HEAD = """
## Figures

Each is drawn by one command; the pictures were drawn by it, of small and short runs and of the shipped models, and show
[what they show](experiments/2026-11-30-systems-begun.md), not the papers' results. That of HFRA's Fig. 1 is of the
shipped `default` and `vast`, as no late and middle fusion were at hand.

| figure | shows | drawn by | picture |
|---|---|---|---|"""


def page() -> str:
    """Return docs/systems.md. Raises ValueError where a system names a recipe or baseline that is not there."""
    rows = {name: row for result in reversed(RESULTS) for name, row in rows_of(result).items()}
    lines = [HEAD]
    for system in SYSTEMS:
        if system.recipe not in ("", *recipe_names()) or system.baseline not in ("", *baseline_names()):
            raise ValueError(f"{system.name}: no recipe '{system.recipe}' or baseline '{system.baseline}'")
        runs = f"`{system.recipe or system.baseline}`" if system.recipe or system.baseline else NOT_BUILT
        cells = [system.name, system.table, runs, *results_of(system, rows)]
        lines.append(f"| {' | '.join(cells)} |")
    built = sum(bool(system.recipe or system.baseline) for system in SYSTEMS)
    evaluated = sum(system.row in rows for system in SYSTEMS)
    lines += ["", f"{built} of {len(SYSTEMS)} run; {evaluated} have rows of their own."]
    lines.append(FIGURES_HEAD)
    for figure in FIGURES:
        command = figure.command if figure.command == "–" else f"`{figure.command}`"
        lines.append(
            f"| {figure.figure} | {figure.shows} | {command} | [{Path(figure.picture).name}]({figure.picture}) |"
        )
    return "\n".join(lines) + "\n"


def results_of(system: System, rows: dict[str, Row]) -> list[str]:
    """The cells of a system: what it was trained for, what it scored, and where it is drawn."""
    if system.stands_in:
        return [f"as `{system.stands_in}`"] * 3
    row = rows.get(system.row)
    if row is None:
        return ["no" if system.recipe or system.baseline else NOT_BUILT] * 3
    trained = "–" if system.baseline else row.trained
    return [trained, f"{row.score} dB, {row.asked}", f"[bars](results/{row.page})"]


def rows_of(name: str) -> dict[str, Row]:
    """The first row of each system of a page of results, by its name."""
    found: dict[str, Row] = {}
    heads: list[str] = []
    steps = ""
    path = DOCS / "results" / name
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        if told := re.search(r"for (\d+ steps of \d+ mixtures), with", line):
            steps = told[1]
        if not line.startswith("| "):
            heads = [] if not line.startswith("|") else heads
            continue
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if not heads:
            heads = [cell.partition(" [")[0] for cell in cells]
        elif {"system", "asked with"} <= set(heads) and (
            scored := next((head for head in heads if "SDRi" in head), "")
        ):
            named = dict(zip(heads, cells, strict=False))
            num_seeds = len(named["each seed"].split(" · "))
            own = f"{steps}, {num_seeds} seed{'s' * (num_seeds > 1)}"
            shipped = re.match(r"shipped, after (\d+) steps", named.get("note", ""))
            row = Row(name, named["asked with"], named[scored], f"shipped, {shipped[1]} steps" if shipped else own)
            found.setdefault(named["system"].replace("\\*", "").strip(), row)
    return found


def main() -> None:
    """Print the page, or write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(DOCS.parent)}")
    if not parser.parse_args().write:
        sys.stdout.write(page())
        return
    with replacing(PAGE) as temporary:
        temporary.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
