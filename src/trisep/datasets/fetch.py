"""The user's own command for missing clips. trisep has no downloader.

The user is responsible for the effect of the template and for the right to use it. No shell is involved: the template
is cut into words first, then the placeholders inside each word are filled in, so nothing in a data set's metadata can
become another word, an option or a second command.
"""

import re
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from trisep.datasets.clip_list import ListedClip
from trisep.errors import ConfigError
from trisep.media.files import discard, temporary_beside

_PLACEHOLDERS = ("id", "start", "end", "out")
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


def parse_template(template: str) -> tuple[str, ...]:
    """Split a command template into words.

    Raises ConfigError unless it holds {id} and {out}, only known placeholders, and no word that begins with {id}.
    """
    try:
        words = tuple(shlex.split(template))
    except ValueError as error:
        raise ConfigError(f"--command: cannot be read as a command ({error}); check its quotes") from error
    found = {name for word in words for name in _PLACEHOLDER.findall(word)}
    if unknown := sorted(found - set(_PLACEHOLDERS)):
        raise ConfigError(
            f"--command: unknown placeholder {{{unknown[0]}}}; known are {{id}}, {{start}}, {{end}} and {{out}}"
        )
    if not {"id", "out"} <= found:
        raise ConfigError(f"--command: expected {{id}} and {{out}} in it, got {template!r}")
    options = words[: words.index("--")] if "--" in words else words
    if any(word.startswith("{id}") for word in options):
        raise ConfigError(
            "--command: an id may begin with '-' and be taken for an option; put {id} inside a longer word, or after --"
        )
    return words


def fill_in(words: Sequence[str], clip: ListedClip, out: Path) -> list[str]:
    """Fill in the command for one clip: times are in seconds, 0 and inf for a whole recording."""
    start = 0.0 if clip.start_seconds is None else clip.start_seconds
    end = float("inf") if clip.end_seconds is None else clip.end_seconds
    values = {"id": clip.media_id, "start": f"{start:g}", "end": f"{end:g}", "out": str(out)}
    return [_PLACEHOLDER.sub(lambda match: values[match[1]], word) for word in words]


def fetch_missing(
    clips: Sequence[ListedClip], words: Sequence[str], media: Path, *, suffix: str, console: Console | None = None
) -> dict[str, str]:
    """Run the command once for each clip, one after the other; a complete file becomes `media`/KEY + `suffix`.

    Returns the reasons of failures, by the key of the clip. Raises ConfigError when the program cannot
    be started at all.
    """
    failures: dict[str, str] = {}
    unique = {clip.key: clip for clip in clips}
    for key, clip in track(unique.items(), "fetch", console=console, disable=console is None):
        target = media / f"{key}{suffix}"
        temporary = temporary_beside(target)
        try:
            result = subprocess.run(
                fill_in(words, clip, temporary), stdin=subprocess.DEVNULL, capture_output=True, check=False
            )
            if result.returncode == 0 and temporary.is_file():
                temporary.replace(target)
            else:
                last = result.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
                reason = f"ended with {result.returncode}" if result.returncode else "wrote no {out}"
                failures[key] = " ".join([f"the command {reason}", *(f"({line})" for line in last)])
        except OSError as error:
            raise ConfigError(f"--command: {words[0]} cannot be run ({error.strerror}); check the name") from error
        finally:
            discard(temporary)
    return failures
