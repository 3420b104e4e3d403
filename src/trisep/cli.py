"""The command `trisep`: reads the command line into the `Arguments` of a verb, runs it, and turns errors into one line
and an exit code.

Exit codes: 0 done · 1 some of the results that were asked for are not there, or --strict and something was left out ·
2 the user's error, or nothing done (one line on stderr) · 130 interrupted, 143 or 129 ended by SIGTERM or SIGHUP, with
nothing half-written left. It knows nothing of sounds or models, and imports the file of one verb only.
"""

import difflib
import os
import sys
from collections.abc import Sequence
from typing import Any

import trisep
from trisep.commands import load_verb, overview, verbs
from trisep.errors import ConfigError, TrisepError, needs_extra
from trisep.terminal.arguments import read_words, refuse_empty
from trisep.terminal.signals import interrupted, interruption_before, stop_on_signals
from trisep.terminal.streams import complain, flush_or_silence, mend_streams, what_failed


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; `argv` defaults to the process's own arguments."""
    # Threads that wait for each other sleep: on a busy machine those of OpenMP burn three times the work otherwise.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if argv is None:
        mend_streams()
    try:
        return _run(sys.argv[1:] if argv is None else argv)
    except TrisepError as error:
        complain(str(error))
    except OSError as error:
        complain(what_failed(error))
    except (KeyboardInterrupt, Exception) as error:
        # While it is interrupted, a library may raise an error of its own, as PyTorch does when its loaders end.
        stop = interruption_before(error)
        if stop is None:
            raise
        return interrupted(stop)
    flush_or_silence()
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

    Prints and raises SystemExit(0) for --help and --version, and a TrisepError where the line cannot be read, or asks
    for something that makes no sense.
    """
    refuse_empty(argv)
    if not argv or argv[0] in ("-h", "--help"):
        print(overview(), end="")
        raise SystemExit(0)
    verb, *words = argv
    if verb == "--version":
        print(f"trisep {trisep.__version__}")
        raise SystemExit(0)
    if verb not in verbs():
        nearest = difflib.get_close_matches(verb, verbs(), n=1)
        raise ConfigError(
            f"unknown verb '{verb}'{f'; did you mean {nearest[0]!r}? S' if nearest else '; s'}ee: trisep --help"
        )
    return verb, read_words(load_verb(verb).Arguments, words, program=f"trisep {verb}")


if __name__ == "__main__":
    sys.exit(main())
