"""Times as people read them off a player: seconds, or minutes and hours before them. This file knows no media."""

import re

_CLOCK = re.compile(r"(?:(\d{1,3}):(?=[0-5]?\d:))?(\d{1,4}):([0-5]?\d(?:\.\d+)?)", re.ASCII)


def read_seconds(text: str) -> float:
    """Read a time: seconds ("83.5"), minutes and seconds ("1:23.5"), or hours before them ("1:01:23.5").

    ValueError, which says what is expected, for all else, such as 60 seconds behind a colon. Signs and NaN of a plain
    number are left to the caller.

    Example:
        >>> read_seconds("83.5"), read_seconds("1:23.5"), read_seconds("1:01:05")
        (83.5, 83.5, 3665.0)
    """
    found = _CLOCK.fullmatch(text.strip())
    if found is not None:
        return 3600.0 * int(found[1] or 0) + 60.0 * int(found[2]) + float(found[3])
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"expected seconds, or minutes and seconds as in 1:23.5, got {text!r}") from None
