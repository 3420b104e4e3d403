"""The lines that a new recipe needs on the page of its settings, which tests compare with the code.

    python scripts/setting_lines.py NAME BUT_FOR

Prints what recipe NAME changes in recipe BUT_FOR, to be put below "Variants": of docs/small_recipes.md where NAME ends
in `-avmini`, otherwise of docs/paper_numbers.md, where the last cell is left for the source of the number.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from recipe_settings import GONE, SMALL, papers, stated  # noqa: E402

from trisep.errors import ConfigError  # noqa: E402


def lines(name: str, but_for: str) -> list[str]:
    """The rows of a recipe, of which everything else is as in the other one; ConfigError for an unknown recipe."""
    is_small = name.endswith(SMALL)
    before, after = (stated(one) if is_small else papers(one) for one in (but_for, name))
    cells = [(path, f"`{value!r}`") for path, value in after.items() if (path, value) not in before.items()]
    if is_small:
        return [f"| {name} | {but_for} | {path} | {value} |" for path, value in cells]
    cells += [(path, GONE) for path in before if path not in after]
    return [f"| {name} | {but_for} | {path} | {value} |  |" for path, value in cells]


def main() -> int:
    """Print the lines; 2 where they cannot be made."""
    if len(sys.argv) != 3:
        print("usage: python scripts/setting_lines.py NAME BUT_FOR", file=sys.stderr)
        return 2
    try:
        print("\n".join(lines(*sys.argv[1:])))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
