"""The table of all systems that the papers' tables name, made from the code and the results: docs/systems.md.

    python scripts/systems_table.py [--write]

A system runs if it is a recipe or a baseline here; it was trained in miniature and evaluated if docs/results/mini.md
has a row of it, and begun if the row stands below "begun" there. Without --write the page is printed.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from trisep.baselines import baseline_names
from trisep.media.files import replacing
from trisep.recipes import recipe_names

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "systems.md"
BEGUN = "## Begun"
"""The heading in mini.md below which rows are those of runs that were stopped early."""


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
    """Its row in mini.md."""


SYSTEMS = (
    System("CLIPSep", "CLIPSep 2, 3, 6", "clipsep", row="clipsep"),
    System("CLIPSep-NIT", "CLIPSep 3", "clipsep-nit", row="clipsep-nit"),
    System("CLIPSep-Text", "CLIPSep 2, 3", "clipsep-text", row="clipsep-text"),
    System("CLIPSep-Hybrid", "CLIPSep 2", "clipsep-hybrid", row="clipsep-hybrid"),
    System("CLIPSep, middle fusion", "CLIPSep App. C", "clipsep-middle"),
    System("BERTSep", "CLIPSep 3", "clipsep-bertsep"),
    System("LabelSep", "CLIPSep 2, 3", "clipsep-labelsep", row="labelsep"),
    System("PIT", "CLIPSep 2, 3, 6", "clipsep-pit", row="pit"),
    System("Sound of Pixels", "CLIPSep 2, 3; VAST 1–3; HFRA 1, 2", "clipsep-sop", row="sound-of-pixels"),
    System("MixIT", "CLIPSep 1", "mixit"),
    System("MixIT with query heads", "CLIPSep 1", "mixit-queried"),
    System("SoundFilter: a sound as query", "CLIPSep 1", "sound-filter"),
    System("Kilgour: text or sound as query", "CLIPSep 1", "kilgour"),
    System("AudioScope", "CLIPSep 1"),
    System("VAST", "VAST 1–11", "vast", row="vast"),
    System("AV-Mix-and-Separate", "VAST 1–3; HFRA 2", "vast-av-mix"),
    System("Sound of Pixels on CLIP", "VAST 4", "vast-sop-clip"),
    System("Co-Separation", "VAST 1–3", "co-separation"),
    System("AVSGS", "VAST 1–3", "avsgs"),
    System("NMF-MFCC", "VAST 1–3; HFRA 1, 2", baseline="nmf_mfcc", row="nmf-mfcc"),
    System("HFRA", "HFRA 1–6", "hfra", row="hfra"),
    System("HFRA, hierarchical alone", "HFRA 1, 2, 4–6", "hfra-hierarchical", row="hfra-hierarchical"),
    System("HFRA, middle fusion", "HFRA 1–3, 6", "hfra-middle", row="hfra-middle"),
    System("HFRA, late fusion", "HFRA 1–3, 6", "hfra-late", row="hfra-late"),
    System("HFRA, late fusion, aligned", "HFRA 6", "hfra-late-aligned"),
    System("RPCA", "HFRA 1", baseline="rpca", row="rpca"),
    System("Wave-U-Net", "HFRA 1", "wave-u-net", row="wave-u-net"),
    System("ResUNetDecouple+", "HFRA 1", "resunet-decouple", row="resunet-decouple"),
    System("MP-Net", "HFRA 1", "mp-net", row="mp-net"),
    System("SGN", "HFRA 1", "sgn", row="sgn"),
    System("mixture", "CLIPSep 3, 6", baseline="mixture", row="mixture"),
    System("ideal ratio mask", "the ceiling", baseline="ideal_mask", row="ideal-ratio-mask"),
)

HEAD = """# Every system of the papers' tables

Made by `python scripts/systems_table.py --write` from the code and from [the results in miniature](results/mini.md); a
test compares it with what the script prints. "no" is work that is still to be done, "begun" was trained for some
minutes alone, and "–" does not apply: classical systems are not trained. Published sizes were trained for none of them
here; [their settings](paper_numbers.md) are the papers'. The figures are bars over the rows of mini.md.

| system | named in | runs | trained in miniature | evaluated | figure |
|---|---|---|---|---|---|"""


def page() -> str:
    """Return docs/systems.md. Raises ValueError where a system names a recipe or baseline that is not there."""
    mini, _, begun_part = (DOCS / "results" / "mini.md").read_text(encoding="utf-8").partition(BEGUN)
    rows, begun = _first_cells(mini), _first_cells(begun_part)
    lines = [HEAD]
    for system in SYSTEMS:
        if system.recipe not in ("", *recipe_names()) or system.baseline not in ("", *baseline_names()):
            raise ValueError(f"{system.name}: no recipe '{system.recipe}' or baseline '{system.baseline}'")
        here = f"`{system.recipe or system.baseline}`" if system.recipe or system.baseline else "no"
        drawn = "yes" if system.row in rows else "no"
        scored = "begun" if drawn == "no" and system.row in begun else drawn
        trained = "–" if system.baseline else "shipped" if scored == "yes" and system.recipe == "vast" else scored
        lines.append(f"| {system.name} | {system.table} | {here} | {trained} | {scored} | {drawn} |")
    built = sum(bool(system.recipe or system.baseline) for system in SYSTEMS)
    scored_in_all = sum(line.endswith("| yes | yes |") for line in lines)
    return "\n".join([*lines, "", f"{built} of {len(SYSTEMS)} run, {scored_in_all} are evaluated."]) + "\n"


def _first_cells(text: str) -> set[str]:
    """Return the first cell of every row of the tables."""
    return {line.split("|")[1].replace("\\*", "").strip() for line in text.splitlines() if line.startswith("| ")}


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
