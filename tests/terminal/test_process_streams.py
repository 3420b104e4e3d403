"""The streams of the shell: closed ones, poor terminals, full disks; each ends in one line or in none, never in a
traceback.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from trisep.terminal.streams import _harmless

PROGRAM = """
import sys
from trisep import cli
from trisep.commands import models
def run(arguments):
    import warnings
    warnings.warn("of a library", RuntimeWarning)
    print({text!r})
    print("to stderr \u2026", file=sys.stderr)
    return 0
models.run = run
sys.argv = ["trisep", "models"]
sys.exit(cli.main())
"""


def trisep(
    text: str = "Müller \u2026 \U0001f3bb", redirect: str = "", encoding: str = "utf-8"
) -> subprocess.CompletedProcess[bytes]:
    """Run a verb that prints in a shell with redirections."""
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("PYTHONWARNINGS", None)
    command = [*("bash", "-c", f'"$@" {redirect}', "-", sys.executable, "-c"), PROGRAM.format(text=text)]
    return subprocess.run(command, capture_output=True, env=environment, check=False)


@pytest.mark.slow
def test_what_a_terminal_lacks_is_escaped_and_warnings_of_libraries_stay_away() -> None:
    for encoding, line in (
        ("utf-8", "Müller … 🎻\n".encode()),
        ("latin-1", b"M\xfcller ... \\ud83c\\udfbb\n"),
        ("ascii", b"M\\u00fcller ... \\ud83c\\udfbb\n"),
    ):
        done = trisep(encoding=encoding)
        assert (done.returncode, done.stdout) == (0, line)
        assert done.stderr.decode(encoding) in ("to stderr …\n", "to stderr ...\n")
    assert trisep(text="bad \udcff name").stdout == b"bad \\udcff name\n"


@pytest.mark.slow
def test_closed_streams_end_in_no_traceback() -> None:
    for redirect in (">&-", "2>&-", ">&- 2>&-", "<&- >&-"):
        done = trisep(redirect=redirect)
        assert done.returncode == 0 and b"Traceback" not in done.stderr, redirect
        assert (done.stdout == b"") == (">&-" in redirect.replace("2>&-", "")), redirect


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_and_a_reader_that_has_gone_are_one_line() -> None:
    done = trisep(redirect=">/dev/full")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == b"trisep: error: standard output: No space left on device"
    assert len(done.stderr.splitlines()) == 2
    assert trisep(redirect="2>/dev/full").returncode == 0
    done = trisep(text="x" * 100_000, redirect="| head -c 1")
    assert done.stdout == b"x" and b"Traceback" not in done.stderr and b"Exception" not in done.stderr


@pytest.mark.parametrize(
    ("text", "in_a_file", "on_a_terminal"),
    [
        ("violin\tyes\n", "violin\tyes\n", "violin\tyes\n"),
        ("\x1b[2Jgone\x07\u202e\n", "\\u001b[2Jgone\\u0007\\u202e\n", "\\u001b[2Jgone\\u0007\\u202e\n"),
        ("\x1b[31mred\x1b[0m\r", "\\u001b[31mred\\u001b[0m\\u000d", "\x1b[31mred\x1b[0m\r"),
        ("\x1b]0;title\x9b1A", "\\u001b]0;title\\u009b1A", "\\u001b]0;title\\u009b1A"),
        ("\x1b[1A\x1b[2K\x1b[?25l", "\\u001b[1A\\u001b[2K\\u001b[?25l", "\x1b[1A\x1b[2K\x1b[?25l"),
    ],
)
def test_no_name_commands_the_terminal(text: str, in_a_file: str, on_a_terminal: str) -> None:
    assert (_harmless(text, False), _harmless(text, True)) == (in_a_file, on_a_terminal)


def test_a_closed_standard_input_is_an_empty_one_and_names_are_shown_harmlessly() -> None:
    name = "no\x1b[2J\u202ename"
    script = "import sys; from trisep.terminal.streams import mend_streams; mend_streams(); "
    script += f"print({name!r}); sys.exit(len(sys.stdin.read()))"
    command = [sys.executable, "-c", script]
    done = subprocess.run(f"{shlex.join(command)} <&-", shell=True, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "no\\u001b[2J\\u202ename\n"
