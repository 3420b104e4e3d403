"""`trisep tag`: a sound → what is heard in it, and when."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Say what is heard in a sound or video, and when: the likeliest of AudioSet's 527 classes.

    For example:

        trisep tag street.mp4
        trisep tag street.mp4 --number 20 --json
    """

    file: Annotated[Positional[Path], arg(metavar="FILE")]
    """A file with sound."""
    number: int = 10
    """How many kinds of sound are listed."""
    stream: int | None = None
    """Which of the streams of sound of FILE, from 0; by default the one flagged so, else the first that plays."""
    json: bool = False
    """Print JSON: name, probability and the probability in every second."""


def run(arguments: Arguments) -> int:
    """Print a table or JSON; returns 0."""
    import json
    from dataclasses import asdict

    from trisep.commands import require_positive
    from trisep.separation.tagging import tag

    require_positive(number=arguments.number)
    tags = tag(arguments.file, num_tags=arguments.number, stream=arguments.stream)
    if arguments.json:
        print(json.dumps([asdict(one) for one in tags], ensure_ascii=False, indent=1))
        return 0
    width = max(len(one.name) for one in tags)
    print(f"{'heard':<{width}}  probability  seconds")
    for one in tags:
        spans = ", ".join(f"{start}-{end}" for start, end in one.spans())
        print(f"{one.name:<{width}}  {one.probability:11.2f}  {spans}")
    return 0
