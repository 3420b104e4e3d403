"""The command `trisep`: reads the command line into the `Arguments` of a verb, runs it, and turns errors into one line
and an exit code.

Exit codes: 0 all done · 1 some inputs skipped · 2 the user's error, or nothing done (one line on stderr) · 130
interrupted, 143 or 129 ended by SIGTERM or SIGHUP, with nothing half-written left. It knows nothing of sounds or
models, and imports the file of one verb only.
"""

import codecs
import contextlib
import difflib
import io
import os
import re
import signal
import sys
import textwrap
import threading
import warnings
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import pairwise
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TextIO, Union, cast, get_args, get_origin

import trisep
from trisep.commands import load_verb, mistake, summary, verbs
from trisep.errors import ConfigError, TrisepError, needs_extra, shown

_OVERVIEW = """usage: trisep VERB …

Separate the sounds of a video by what you name or point at.

{verbs}

For example:

    trisep separate clip.mp4 "violin" "rooster barking"
    trisep separate talk.mp4 "traffic" --remove --into-video
    trisep separate clip.mp4 --image photo.jpg
    trisep localize clip.mp4 "violin" --out heat.mp4

Each verb explains itself: trisep separate --help · version: trisep --version
"""


_OF_TEXT = re.compile(r"([\n\t]|\r\n)")
_OF_RICH = re.compile(r"([\n\t\r]|\x1b\[(?:[0-9;]*m|[0-9]*A|2K|\?25[lh]))")
"""What may be written that is no text: on a terminal, the colours and the bars of rich."""
_PLAIN = {"…": "...", "–": "-", "—": "-", "−": "-", "×": "x", "±": "+-", "→": "->", "≥": ">=", "≤": "<=", "·": "-"}
"""What a terminal without these characters shows in their place; none of it changes the sense of JSON."""


def parse(argv: Sequence[str]) -> tuple[str, Any]:
    """Read a command line, without the name of the program, into the verb and its `Arguments`.

    Prints and raises SystemExit(0) for --help and --version. Raises SystemExit(2) after one line on stderr where the
    line cannot be read, and a TrisepError where it can be read but asks for something that makes no sense.
    """
    _refuse_empty(argv)
    if not argv or argv[0] in ("-h", "--help"):
        print(_overview(), end="")
        raise SystemExit(0)
    if argv[0] == "--version":
        print(f"trisep {trisep.__version__}")
        raise SystemExit(0)
    verb = argv[0]
    if verb not in verbs():
        nearest = difflib.get_close_matches(verb, verbs(), n=1)
        raise ConfigError(
            f"unknown verb '{verb}'{f'; did you mean {nearest[0]!r}? S' if nearest else '; s'}ee: trisep --help"
        )
    import tyro  # a fifth of a second, which the overview does without

    report = io.StringIO()
    try:
        with contextlib.redirect_stderr(report):
            arguments = tyro.cli(
                _plainly_described(load_verb(verb).Arguments),
                prog=f"trisep {verb}",
                args=list(argv[1:]),
                config=(tyro.conf.OmitSubcommandPrefixes,),
            )
    except SystemExit as stop:
        if stop.code:
            _complain(f"{mistake(report.getvalue(), argv)}; see: trisep {verb} --help")
        raise
    _refuse_huge(arguments)
    return verb, arguments


def _refuse_huge(arguments: Any) -> None:
    """Raise ConfigError for a whole number that takes more than 64 bits, which libraries refuse in words of theirs."""
    for field in fields(arguments):
        value = getattr(arguments, field.name)
        if is_dataclass(value):
            _refuse_huge(value)
        elif isinstance(value, int) and abs(value) >= 2**63:
            raise ConfigError(f"--{field.name.replace('_', '-')}: expected a number below 2^63, got {value}")


@cache
def _plainly_described(kind: Any) -> Any:
    """Keep Python's None and False out of the help of a dataclass, and of the dataclasses that it offers as choices.

    A default of None means that nothing is given, which the help text explains; False is a flag that is left out.
    """
    from tyro.conf import arg

    for field in fields(kind):
        form, tags = _without_tags(kind.__annotations__[field.name])
        plain = [
            _without_tags(part)[0] for part in (get_args(form) if get_origin(form) in (Union, UnionType) else [form])
        ]
        if field.default is None or field.default is False:
            # In front, since a metavar of the field's own counts more.
            hidden = arg(help_behavior_hint="", metavar=_metavar(plain) if field.default is None else None)
            kind.__annotations__[field.name] = Annotated[(form, hidden, *tags)]
        for part in plain:
            if is_dataclass(part):
                _plainly_described(cast(Hashable, part))
    return kind


def _without_tags(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return the type of Annotated[type, tags] and its tags; of any other type there are none."""
    return (annotation.__origin__, annotation.__metadata__) if hasattr(annotation, "__metadata__") else (annotation, ())


def _metavar(types: Sequence[Any]) -> str:
    """Return what help shows for a value of one of some types, but for that of None."""
    form, *_ = [one for one in types if one is not NoneType]
    return f"{{{','.join(get_args(form))}}}" if get_origin(form) is Literal else form.__name__.upper()


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; `argv` defaults to the process's own arguments."""
    # Threads that wait for each other sleep: on a busy machine those of OpenMP burn three times the work otherwise.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if argv is None:
        mend_streams()
    try:
        return _run(sys.argv[1:] if argv is None else argv)
    except TrisepError as error:
        _complain(str(error))
    except BrokenPipeError:
        _complain("the output was cut short: the program reading it has gone")
    except OSError as error:
        _complain(f"{_place_of(error)}{error.strerror or error}")
    except KeyboardInterrupt as stop:
        return _interrupted(stop)
    except Exception as error:
        # While it is interrupted, a library may raise an error of its own, as PyTorch does when its loaders end.
        stopped = _interruption_before(error)
        if stopped is None:
            raise
        return _interrupted(stopped)
    # Python flushes stdout once more on its way out; where that fails, a second, unreadable message would follow.
    try:
        sys.stdout.flush()
    except OSError:
        silence(sys.stdout)
    return 2


def _place_of(error: OSError) -> str:
    """Name what an error of the system is about, as far as it can be told."""
    if error.filename:
        return f"{error.filename}: "
    try:
        os.getcwd()
    except OSError:
        return "the current folder: "
    return ""


def _interrupted(stop: KeyboardInterrupt) -> int:
    """Say that the program was interrupted, and return its exit code."""
    print("trisep: interrupted", file=sys.stderr)
    return 128 + (stop.args[0] if stop.args else int(signal.SIGINT))


def _interruption_before(error: BaseException | None) -> KeyboardInterrupt | None:
    """The interruption during which an error was raised, if there was one."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error


def _run(argv: Sequence[str]) -> int:
    """Run one command, and see to it that what it prints is written."""
    _stop_on_signals()
    try:
        verb, arguments = parse(argv)
        with needs_extra(f"trisep {verb}"):
            code: int = load_verb(verb).run(arguments)
    except SystemExit:
        sys.stdout.flush()
        raise
    sys.stdout.flush()
    return code


def _stop_on_signals() -> None:
    """Let SIGTERM and SIGHUP end the program as Ctrl-C does, so that half-written files are removed.

    A signal that is ignored, as under nohup, stays so. Signals that follow the first are ignored.
    """
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    process = os.getpid()

    def stop(number: int, frame: object) -> None:
        """End the program with KeyboardInterrupt, which carries the signal; a process forked from it, as before."""
        if os.getpid() != process:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        for name in names:
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        raise KeyboardInterrupt(number)

    if threading.current_thread() is threading.main_thread():
        for name in names:
            if signal.getsignal(getattr(signal, name)) is signal.SIG_DFL:
                signal.signal(getattr(signal, name), stop)


def _overview() -> str:
    """All verbs, within 80 columns."""
    rows = []
    for name in verbs():
        first, *rest = textwrap.wrap(summary(name), 60) or [""]
        rows += [f"  {name:16s}{first}", *(f"{'':18s}{line}" for line in rest)]
    return _OVERVIEW.format(verbs="\n".join(rows))


def _refuse_empty(argv: Sequence[str]) -> None:
    """Raise ConfigError for an empty word, which a path would take for the current folder; a shell makes one of an
    unset variable. The same for a word with a zero byte, which only a program can give.
    """
    for before, word in pairwise(["trisep", *argv]):
        if "\0" in word:
            raise ConfigError(f"the argument after {before!r}: holds a zero byte, which no name or text has; remove it")
        if not word or re.fullmatch("--[^=]+=", word):
            place = word[:-1] if word else f"the argument after {before!r}"
            raise ConfigError(
                f"{place}: expected words, a name or a path, got ''; fill it in (. is this folder) or leave it out"
            )


def _complain(message: str) -> None:
    """Print an error on stderr, on one line whatever the message holds."""
    print(f"trisep: error: {one_line(message)}", file=sys.stderr)


def one_line(message: str) -> str:
    """Put a message on one line, which commands no terminal; of a word of more than 500 characters the ends are kept,
    200 each.
    """
    words = (word if len(word) <= 500 else f"{word[:200]}…{word[-200:]}" for word in message.split())
    return shown(" ".join(words))


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


def silence(stream: TextIO) -> None:
    """Let what a stream still holds vanish, so that Python does not fail once more on its way out."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
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


if __name__ == "__main__":
    sys.exit(main())
