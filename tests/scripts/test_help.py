"""Every script, benchmark and example can be imported, and says what it is for."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [path for name in ("benchmarks", "scripts", "examples") for path in sorted((ROOT / name).rglob("*.py"))]
COMMANDS = [path for path in FILES if "ArgumentParser(" in path.read_text(encoding="utf-8")]


def shown(path: Path) -> str:
    """A file as failures name it."""
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", COMMANDS, ids=shown)
def test_help_begins_with_what_the_file_does(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Python puts the folder of the script that it runs first, and `run_path` does not.
    monkeypatch.syspath_prepend(str(path.parent))
    monkeypatch.setattr("sys.argv", [path.name, "--help"])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(path), run_name="__main__")
    purpose = path.read_text(encoding="utf-8").removeprefix('"""').partition("\n")[0]
    assert purpose in capsys.readouterr().out


def test_all_commands_are_found() -> None:
    assert {"benchmarks/mini/__main__.py", "scripts/promote_model.py", "examples/demo.py"} <= set(map(shown, COMMANDS))
    assert len(COMMANDS) >= 20


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_the_library_is_called_and_not_the_command_line(path: Path) -> None:
    assert "trisep.commands" not in path.read_text(encoding="utf-8")
