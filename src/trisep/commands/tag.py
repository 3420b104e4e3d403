"""`trisep tag`: a sound → what is heard in it, and when."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, Positional, arg


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Say what is heard in a sound or video, and when: the likeliest of nearly 600 kinds.

    The probability is that of the second in which a sound is heard best, or of the whole file if that is larger.

    For example:

        trisep tag street.mp4
        trisep tag street.mp4 --number 20 --json
        trisep tag street.mp4 --picture heard.png
    """

    file: Annotated[Positional[Path], arg(metavar="FILE")]
    """A file with sound."""
    number: int = 10
    """How many kinds of sound are listed."""
    stream: int | None = None
    """Which of the streams of sound of FILE, from 0; by default the one flagged so, else the first that plays."""
    allow_truncated: FlagCreatePairsOff[bool] = False
    """Continue when more than 1 % of FILE cannot be decoded."""
    json: bool = False
    """Print JSON: name, probability, and that of the whole file and of every second."""
    picture: Annotated[Path | None, arg(metavar="FILE")] = None
    """Also draw the probability in every second, as a new picture (.png)."""


def run(arguments: Arguments) -> int:
    """Print a table or JSON, draw the picture; returns 0."""
    import json

    from trisep.commands import require_positive
    from trisep.separation.batch import columns
    from trisep.separation.tagging import tag

    require_positive(number=arguments.number)
    if arguments.picture is not None:
        from trisep.figures.tags import draw_tags  # before any work: it needs an extra

        _require_new_picture(arguments.picture)
    tags = tag(
        arguments.file,
        num_tags=arguments.number,
        stream=arguments.stream,
        allow_truncated=arguments.allow_truncated,
    )
    if arguments.picture is not None:
        seconds = {one.name: one.per_second for one in tags}
        draw_tags(seconds, arguments.picture, title=f"heard in {arguments.file.name}")
    if arguments.json:
        entries = [
            {
                "name": one.name,
                "probability": one.likeliest,
                "whole_file": one.probability,
                "per_second": one.per_second,
            }
            for one in tags
        ]
        print(json.dumps(entries, ensure_ascii=False, indent=1))
        return 0
    rows = [("heard", "probability", "seconds")]
    for one in tags:
        spans = ", ".join(f"{start}-{end}" for start, end in one.spans())
        rows.append((one.name, f"{one.likeliest:.2f}", spans))
    print("\n".join(columns(rows, to_the_right={1})))
    return 0


def _require_new_picture(path: Path) -> None:
    """Raise ConfigError for another kind of file or one that is there, MediaError where nothing can be written."""
    from trisep.errors import ConfigError
    from trisep.media.files import require_place

    if path.suffix.lower() != ".png":
        raise ConfigError(f"--picture {path}: expected the name of a picture that ends in .png")
    if path.exists():
        raise ConfigError(f"--picture {path}: is there already; give another name, or remove it")
    require_place(path.parent)
