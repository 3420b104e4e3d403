"""The command `trisep`: reads the command line into the `Arguments` of a verb, runs it, and turns errors into one line
and an exit code.

Exit codes: 0 all done · 1 some inputs skipped · 2 the user's error, or nothing done (one line on stderr) · 130
interrupted, 143 or 129 ended by SIGTERM or SIGHUP, with nothing half-written left. It knows nothing of sounds or
models, and imports the file of one verb only.
"""

import contextlib
import difflib
import io
import os
import signal
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

import trisep
from trisep.commands import load_verb, summary, verbs
from trisep.errors import ConfigError, TrisepError, needs_extra
from trisep.terminal.arguments import mistake, plainly_described, refuse_empty, refuse_huge
from trisep.terminal.signals import interruption_before, stop_on_signals
from trisep.terminal.streams import mend_streams, one_line, silence

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
        stopped = interruption_before(error)
        if stopped is None:
            raise
        return _interrupted(stopped)
    # Python flushes stdout once more on its way out; where that fails, a second, unreadable message would follow.
    try:
        sys.stdout.flush()
    except OSError:
        silence(sys.stdout)
    return 2


def _run(argv: Sequence[str]) -> int:
    """Run one command, and see to it that what it prints is written."""
    stop_on_signals()
    try:
        verb, arguments = parse(argv)
        with needs_extra(f"trisep {verb}"):
            code: int = load_verb(verb).run(arguments)
    except SystemExit:
        sys.stdout.flush()
        raise
    sys.stdout.flush()
    return code


def parse(argv: Sequence[str]) -> tuple[str, Any]:
    """Read a command line, without the name of the program, into the verb and its `Arguments`.

    Prints and raises SystemExit(0) for --help and --version. Raises SystemExit(2) after one line on stderr where the
    line cannot be read, and a TrisepError where it can be read but asks for something that makes no sense.
    """
    refuse_empty(argv)
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
                plainly_described(load_verb(verb).Arguments),
                prog=f"trisep {verb}",
                args=list(argv[1:]),
                config=(tyro.conf.OmitSubcommandPrefixes,),
            )
    except SystemExit as stop:
        if stop.code:
            _complain(f"{mistake(report.getvalue(), argv)}; see: trisep {verb} --help")
        raise
    refuse_huge(arguments)
    return verb, arguments


def _overview() -> str:
    """All verbs, within 80 columns."""
    rows = []
    for name in verbs():
        first, *rest = textwrap.wrap(summary(name), 60) or [""]
        rows += [f"  {name:16s}{first}", *(f"{'':18s}{line}" for line in rest)]
    return _OVERVIEW.format(verbs="\n".join(rows))


def _complain(message: str) -> None:
    """Print an error on stderr, on one line whatever the message holds."""
    print(f"trisep: error: {one_line(message)}", file=sys.stderr)


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


if __name__ == "__main__":
    sys.exit(main())
