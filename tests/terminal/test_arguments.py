"""What tyro says of a command line that it cannot read, in plain words."""

import pytest

from trisep.terminal.arguments import mistake

BOXED = """\
╭─ Required options ────────────────────────╮
│ Missing from trisep data:                 │
│     NAME                                  │
│         Data set, or folder. (required)   │
│     --media DIR                           │
│         Folder of the files. (required)   │
│ ───────────────────────────────────────── │
│ For full helptext, run:                   │
│     trisep data --help                    │
╰───────────────────────────────────────────╯
"""
RULED = """\
 Required options
 -------------------------------------------
  Missing from trisep data:
      NAME
          Data set, or folder. (required)
      --media DIR
          Folder of the files. (required)
  -----------------------------------------
  For full helptext, run:
      trisep data --help

"""


@pytest.mark.parametrize("report", [BOXED, RULED])
def test_a_mistake_is_told_alike_on_terminals_with_and_without_boxes(report: str) -> None:
    assert mistake(report, ["data", "status"]) == "missing: NAME, --media DIR"
