"""CLIPSep's Fig. 6 from the table that a sweep of γ printed: scores and noise activation over γ.

    python benchmarks/mini/noise_level.py docs/experiments/2026-11-21-noise-level.md --out FILE.png

The first table of the page is read whose first column is γ or `loss.level`, as `sweep.py clipsep-nit loss.level …`
prints it.
"""

import argparse
import re
import sys
from pathlib import Path

from curves import Interval, draw_levels
from exit_codes import exit_code

from trisep.errors import MediaError

_NUMBER = r"([-+−]?\d+(?:\.\d+)?)"
_CELL = re.compile(rf"{_NUMBER} \[{_NUMBER}, {_NUMBER}\]")
_TWO = re.compile(rf"{_NUMBER}[^\d]*?{_NUMBER}")


def main() -> int:
    """Read, draw; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    return exit_code("noise_level", lambda: draw(arguments.page, arguments.out))


def draw(page: Path, out: Path) -> int:
    """Draw the table of a page; returns 0, or raises MediaError where it holds none."""
    scores, activations = read_levels(page.read_text(encoding="utf-8"), str(page))
    draw_levels(scores, activations, out)
    print(out)
    return 0


def read_levels(text: str, name: str) -> tuple[dict[str, dict[str, Interval]], dict[str, dict[str, float]]]:
    """The scores by "PROTOCOL, QUERY" and γ, and the activations by query and γ; MediaError without such a table."""
    lines = text.splitlines()
    start = next((n for n, line in enumerate(lines) if _cells(line)[:1] in (["γ"], ["loss.level"])), None)
    if start is None:
        raise MediaError(f"{name}: holds no table whose first column is γ or loss.level; give what sweep.py printed")
    heads = [re.sub(r": SDRi.*", "", head) for head in _cells(lines[start])]
    scores: dict[str, dict[str, Interval]] = {}
    activations: dict[str, dict[str, float]] = {"text": {}, "image": {}}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        level, *cells = _cells(line)
        for head, cell in zip(heads[1:], cells, strict=True):
            if found := _CELL.fullmatch(cell):
                mean, low, high = (float(value.replace("−", "-")) for value in found.groups())
                scores.setdefault(head, {})[level] = (mean, low, high)
        if two := _TWO.search(cells[-1]):
            activations["text"][level], activations["image"][level] = map(float, two.groups())
    return scores, activations


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


if __name__ == "__main__":
    sys.exit(main())
