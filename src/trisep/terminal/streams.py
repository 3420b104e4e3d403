"""The streams of a process: they take any text, commands no terminal, and fail in one line or in none."""

import codecs
import io
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from trisep.errors import shown

_OF_TEXT = re.compile(r"([\n\t]|\r\n)")
_OF_RICH = re.compile(r"([\n\t\r]|\x1b\[(?:[0-9;]*m|[0-9]*A|2K|\?25[lh]))")
"""What may be written that is no text: on a terminal, the colours and the bars of rich."""
_PLAIN = {"…": "...", "–": "-", "—": "-", "−": "-", "×": "x", "±": "+-", "→": "->", "≥": ">=", "≤": "<=", "·": "-"}
"""What a terminal without these characters shows in their place; none of it changes the sense of JSON."""


def one_line(message: str) -> str:
    """Put a message on one line, which commands no terminal; of a word of more than 500 characters the ends are kept,
    200 each.
    """
    words = (word if len(word) <= 500 else f"{word[:200]}…{word[-200:]}" for word in message.split())
    return shown(" ".join(words))


def complain(message: str) -> None:
    """Print an error on stderr, on one line whatever the message holds."""
    print(f"trisep: error: {one_line(message)}", file=sys.stderr)


def what_failed(error: OSError) -> str:
    """Say what the system refused, and what it is about as far as that can be told."""
    if isinstance(error, BrokenPipeError):
        return "the output was cut short: the program reading it has gone"
    place = f"{error.filename}: " if error.filename else ""
    try:
        os.getcwd()
    except OSError:
        place = place or "the current folder: "
    return f"{place}{error.strerror or error}"


class _Named(io.TextIOWrapper):
    """Standard output, by whose name an error of it can be told from others."""

    def write(self, text: str, /) -> int:
        """Write, as any stream; what would command a terminal, from a name or a file, is shown and not done."""
        with _naming():
            super().write(_harmless(text, self.isatty()))
        return len(text)

    def flush(self) -> None:
        """Hand the text on, as any stream."""
        with _naming():
            super().flush()


@contextmanager
def _naming() -> Iterator[None]:
    """Put the name of standard output into errors of the body."""
    try:
        yield
    except OSError as error:
        error.filename = "standard output"
        raise


class _Forgiving(io.TextIOWrapper):
    """Text for people: what cannot be written is lost, and never an error."""

    def write(self, text: str, /) -> int:
        """Write as far as it is possible; what would command a terminal is shown and not done."""
        with suppress(OSError):
            super().write(_harmless(text, self.isatty()))
        return len(text)

    def flush(self) -> None:
        """Hand the text on as far as it is possible."""
        with suppress(OSError):
            super().flush()


def _harmless(text: str, is_terminal: bool) -> str:
    """Replace what commands a terminal, but for line ends, and on a terminal for the colours and bars of rich."""
    if text.isprintable():
        return text
    kept = _OF_RICH if is_terminal else _OF_TEXT
    return "".join(part if kept.fullmatch(part) else shown(part) for part in kept.split(text))


def mend_streams() -> None:
    """Give the process three open streams that take any text, and keep libraries from writing lines of their own."""
    for number, mode in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            # Else the next file that is opened would get this number, and whatever is printed.
            opened = os.open(os.devnull, mode)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process
    codecs.register_error("trisep", _escaped)
    stdout = sys.stdout
    sys.stdout = _Named(
        open(1, "wb", closefd=False),  # noqa: SIM115 - as long as the process
        encoding=getattr(stdout, "encoding", None) or "utf-8",
        errors="trisep",
        line_buffering=stdout is not None and stdout.isatty(),
    )
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    raw = open(2, "wb", buffering=0, closefd=False)  # noqa: SIM115 - as long as the process
    sys.stderr = _Forgiving(raw, encoding=encoding, errors="trisep", write_through=True)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        os.environ.setdefault("PYTHONWARNINGS", "ignore")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")


def flush_or_silence() -> None:
    """Write what standard output still holds. Where that fails it vanishes, so that Python does not fail once more,
    with an unreadable message, on its way out.
    """
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, sys.stdout.fileno())
            os.close(null)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """Replace characters that an encoding lacks, by plain ones or by escapes as in JSON."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(character: str) -> str:
    """Return one character in ASCII."""
    if character in _PLAIN:
        return _PLAIN[character]
    units: Any = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
