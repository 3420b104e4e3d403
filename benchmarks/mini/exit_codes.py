"""How the commands of this folder end."""

import sys
from collections.abc import Callable

from trisep.errors import TrisepError


def exit_code(name: str, work: Callable[[], int]) -> int:
    """What the work returns; 2 and one line on stderr for the user's error."""
    try:
        return work()
    except TrisepError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
