"""Every command and every Python example that the documentation shows is one that exists."""

import ast
import re
import shlex
from pathlib import Path

import pytest

from trisep import cli
from trisep.commands import load_verb, verbs
from trisep.commands.train import Arguments as TrainArguments
from trisep.recipes import override, recipe, recipe_names

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
# The pages about experiments tell what was run at the time, by commands that may have changed since.
LIVING = [page for page in PAGES if page.parent.name != "experiments"]
OF_OTHERS = {"--help", "--version", "--no-deps", "--require-hashes"}
"""Options of every verb, and those of pip."""
SHELL = {"sh", "bash", "shell", "console"}
SPAN = re.compile(r"`([^`]+)`")
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def fenced_blocks(text: str, languages: set[str]) -> list[str]:
    """Contents of a page's fenced blocks in the given languages."""
    return [content for language, content in FENCE.findall(text) if language in languages]


def shell_commands(text: str) -> list[list[str]]:
    """Every command of a page's shell blocks, as words: continued lines joined, prompts and comments dropped."""
    lines = [
        line.strip().removeprefix("$ ")
        for block in fenced_blocks(text, SHELL)
        for line in block.replace("\\\n", " ").splitlines()
    ]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def spans(text: str) -> list[str]:
    """The texts between single backquotes of a page, outside of its fenced blocks, each on one line."""
    return [" ".join(span.split()) for span in SPAN.findall(FENCE.sub("", text))]


def spans_with_arguments(text: str) -> list[list[str]]:
    """Commands of trisep and of Python in running text and tables that are more than a name and less than a sketch."""
    return [
        shlex.split(span.partition(" < ")[0])
        for span in spans(text)
        if span.startswith(("trisep ", "python ")) and len(span.split()) > 3 and "…" not in span
    ]


def rows_of_calls(text: str) -> list[list[str]]:
    """What VAST's tables call: a recipe and its settings, as `trisep train` takes them."""
    calls = [span for line in text.splitlines() if line.startswith("|") for span in spans(line)]
    return [
        ["train", *shlex.split(call), "--data", "store", "--out", "run"]
        for call in calls
        if " --set " in call and "…" not in call and call.split()[0] in recipe_names()
    ]


def trisep_words(command: list[str]) -> list[str] | None:
    """The arguments of a command that runs trisep, also through python or torchrun; None for any other command."""
    if command[0] == "trisep":
        return command[1:]
    if "-m" in command and command[command.index("-m") + 1 :][:1] == ["trisep.cli"]:
        return command[command.index("-m") + 2 :]
    return None


# The examples in the verbs' own help texts are documentation too; there they stand indented.
HELP = {
    verb: [
        shlex.split(line)
        for line in (load_verb(verb).Arguments.__doc__ or "").splitlines()
        if line.startswith("        ")
    ]
    for verb in verbs()
}
COMMANDS = [(page.name, words) for page in LIVING for words in shell_commands(page.read_text(encoding="utf-8"))]
COMMANDS += [(name, words) for name, lines in HELP.items() for words in lines]
COMMANDS += [(page.name, words) for page in LIVING for words in spans_with_arguments(page.read_text(encoding="utf-8"))]
TRISEP_COMMANDS = [(page, words) for page, command in COMMANDS if (words := trisep_words(command)) is not None]
TRISEP_COMMANDS += [(page.name, words) for page in LIVING for words in rows_of_calls(page.read_text(encoding="utf-8"))]
SCRIPTS = [(page, words[1:]) for page, words in COMMANDS if words[0] == "python" and words[1] != "-m"]
"""Commands that run a file of benchmarks, examples or scripts: the page, then the file and its arguments."""


@pytest.mark.parametrize(
    ("page", "words"), TRISEP_COMMANDS, ids=[f"{page}: {shlex.join(words)}" for page, words in TRISEP_COMMANDS]
)
def test_documented_commands_can_be_read(page: str, words: list[str]) -> None:
    if "--help" in words:
        with pytest.raises(SystemExit, match="0"):
            cli.parse(words)
    else:
        cli.parse(words)


@pytest.mark.parametrize(("page", "words"), SCRIPTS, ids=[f"{page}: {shlex.join(words)}" for page, words in SCRIPTS])
def test_documented_scripts_exist_and_know_their_options(page: str, words: list[str]) -> None:
    place = ROOT / words[0]
    files = sorted(place.glob("*.py")) if place.is_dir() else [place]
    source = "".join(file.read_text(encoding="utf-8") for file in files)
    assert [word for word in words[1:] if word.startswith("--") and f'"{word}"' not in source] == []


def test_options_that_pages_name_alone_exist() -> None:
    files = [file for folder in ("benchmarks", "examples", "scripts") for file in (ROOT / folder).rglob("*.py")]
    known = {name for file in files for name in re.findall(r'"(--[a-z-]+)"', file.read_text(encoding="utf-8"))}
    for file in (ROOT / "src/trisep/commands").glob("*.py"):
        # A field is an option of its name, or of the name that it is given.
        for name in re.findall(r'^    (\w+): |name="([a-z-]+)"', file.read_text(encoding="utf-8"), re.MULTILINE):
            name = "".join(name)
            known |= {f"--{name.replace('_', '-')}", f"--no-{name.replace('_', '-')}"}
    named = {(page.name, span.split()[0]) for page in LIVING for span in spans(page.read_text(encoding="utf-8"))}
    ours = {(page, name) for page, name in named if re.fullmatch("--[a-z-]+", name)}
    assert ("scale.md", "--files-per-shard") in ours
    assert {(page, name) for page, name in ours if name not in known | OF_OTHERS} == set()


def test_every_kind_of_documented_command_was_found() -> None:
    pages = {(page, words[0]) for page, words in TRISEP_COMMANDS}
    assert {("README.md", "separate"), ("vast.md", "train"), ("vast.md", "evaluate"), ("train", "train")} <= pages
    plain = ["train", "vast", "--set", "model.level=video", "--data", "store", "--out", "run"]
    assert ("vast.md", plain) in TRISEP_COMMANDS  # a row of a table
    assert {"benchmarks/mini", "benchmarks/kills.py", "examples/vast_demo.py"} <= {words[0] for _, words in SCRIPTS}


def test_documented_recipes_exist() -> None:
    trained = [words[1] for _, words in TRISEP_COMMANDS if words[0] == "train"]
    named = {name for name in trained if re.fullmatch(r"[a-z][a-z0-9-]*", name)}
    # The page about adding a model writes a recipe of its own.
    assert {"vast", "hfra-avmini"} <= named and named - {"film-unet-avmini"} <= set(recipe_names())


def test_documented_overrides_exist_in_the_recipe_they_change() -> None:
    runs = [
        run
        for _, words in TRISEP_COMMANDS
        if words[0] == "train" and isinstance(run := cli.parse(words)[1], TrainArguments) and run.overrides
    ]
    known = [run for run in runs if run.recipe in recipe_names()]
    assert known, "no documented command changes a setting of a recipe"
    for run in known:
        assert override(recipe(run.recipe), run.overrides) != recipe(run.recipe)


def test_readme_shows_every_verb() -> None:
    shown = {words[0] for page, words in TRISEP_COMMANDS if page == "README.md"}
    assert shown >= {"separate", "prepare", "embed", "train", "evaluate", "models", "info"}


def test_every_help_text_has_examples_that_were_read() -> None:
    assert all(HELP.values())
    assert all(trisep_words(command) is not None for lines in HELP.values() for command in lines)


def test_scripts_that_the_pages_name_exist_and_can_be_run() -> None:
    named = {word for _, command in COMMANDS for word in command if word.startswith(("scripts/", ".ci/"))}
    assert {"scripts/demo", "scripts/test", "scripts/check"} <= named
    assert [name for name in named if not (ROOT / name).is_file()] == []
    # The others are run by `python FILE`.
    assert [name for name in named if not name.endswith(".py") and not (ROOT / name).stat().st_mode & 0o111] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_examples_are_python(page: Path) -> None:
    for block in fenced_blocks(page.read_text(encoding="utf-8"), {"python"}):
        ast.parse(block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []
