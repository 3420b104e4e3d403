"""The command line: what it reads, what it refuses, its exit codes, and that asking for help costs no
import of torch.
"""

import errno
import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

import trisep
from trisep import cli
from trisep.commands import import_, load_verb, models, separate, store, train, verbs
from trisep.errors import EXTRAS, MediaError, shown
from trisep.media.files import replacing

VERBS = (
    "separate",
    "localize",
    "data",
    "prepare",
    "embed",
    "store",
    "train",
    "push",
    "evaluate",
    "compare",
    "analyze",
    "listening-test",
    "tag",
    "web",
    "import",
    "models",
    "info",
    "doctor",
    "export",
)


def stub_verb(monkeypatch: pytest.MonkeyPatch, run: Callable[[object], int]) -> None:
    """Puts a function in the place of `trisep models`."""
    monkeypatch.setattr(models, "run", run)


def raising(error: BaseException) -> Callable[[object], int]:
    """A verb that fails with `error`."""

    def run(arguments: object) -> int:
        raise error

    return run


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_ends_a_verb_as_an_interruption_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, code: int
) -> None:
    number = getattr(signal, name)
    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGHUP)}

    def run(arguments: object) -> int:
        with replacing(tmp_path / "a") as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), number)
            raise AssertionError("the signal was not heard")

    stub_verb(monkeypatch, run)
    try:
        for one in before:  # as it is where the tests were not started under nohup
            signal.signal(one, signal.SIG_DFL)
        assert cli.main(["models"]) == code and os.listdir(tmp_path) == []
        # A signal that is ignored, as under nohup, stays ignored.
        signal.signal(number, signal.SIG_IGN)
        stub_verb(monkeypatch, lambda arguments: os.kill(os.getpid(), number) or 0)
        assert cli.main(["models"]) == 0
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@pytest.mark.slow
def test_help_of_every_verb_teaches_and_imports_no_torch() -> None:
    program = f"""
import contextlib, io, sys
import trisep
from trisep import cli
for verb in {VERBS!r}:
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        try:
            cli.main([verb, "--help"])
        except SystemExit as stop:
            assert stop.code == 0, (verb, stop.code)
    assert "For example:" in text.getvalue() and f"trisep {{verb}} " in text.getvalue(), verb
    assert "None" not in text.getvalue() and "False" not in text.getvalue(), (verb, "speaks Python")
heavy = {{"torch", "numpy", "av", "transformers", "matplotlib"}} & set(sys.modules)
assert not heavy, heavy
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_every_verb_is_found_by_its_file() -> None:
    assert set(verbs()) == set(VERBS) and list(verbs())[0] == "separate"


@pytest.mark.slow
@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_lists_every_verb_on_a_screen_without_importing_a_parser(words: list[str]) -> None:
    program = f"""
import sys
import trisep
from trisep import cli
try:
    cli.main({words!r})
except SystemExit as stop:
    assert stop.code == 0
heavy = {{"tyro", "torch", "numpy", "rich"}} & set(sys.modules)
assert not heavy, heavy
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80 and len(lines) < 40
    first_words = [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "]
    assert sorted(first_words) == sorted(VERBS), "a line for each verb"
    assert "    trisep separate talk.mp4 " in result.stdout


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    version = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]["version"]
    assert capsys.readouterr().out == f"trisep {version}\n" and trisep.__version__ == version


def test_separate_reads_every_option() -> None:
    line = "clip.mp4 violin --also b.mp4 c.mp4 --also d --out stems --model nit --image x.jpg --image y.png"
    line += " --no-residual --remove --into-video --format flac --subtype int16 --audio-bitrate 96k"
    line += " --threshold 0.25 --segment 12.5 --device cpu --allow-truncated"
    line += " --like a.wav --when 1-2 --not wind --not rain --all-of --stream 1 --start 2 --duration 3.5 --recursive"
    verb, arguments = cli.parse(["separate", *line.split()])
    assert verb == "separate" and arguments == separate.Arguments(
        input=Path("clip.mp4"),
        queries=("violin",),
        also=((Path("b.mp4"), Path("c.mp4")), (Path("d"),)),
        out=Path("stems"),
        model="nit",
        image=(Path("x.jpg"), Path("y.png")),
        residual=False,
        remove=True,
        into_video=True,
        format="flac",
        subtype="int16",
        audio_bitrate="96k",
        threshold=0.25,
        segment_seconds=12.5,
        like=(Path("a.wav"),),
        when=("1-2",),
        negatives=("wind", "rain"),
        all_of=True,
        stream=1,
        start_seconds=2.0,
        duration_seconds=3.5,
        recursive=True,
        device="cpu",
        allow_truncated=True,
    )
    assert arguments.inputs == (Path("clip.mp4"), Path("b.mp4"), Path("c.mp4"), Path("d"))


def test_times_may_have_minutes() -> None:
    _, arguments = cli.parse("separate clip.mp4 dog --start 1:02.5 --duration 0:03".split())
    assert (arguments.start_seconds, arguments.duration_seconds) == (62.5, 3.0)


def test_separate_takes_queries_with_spaces_or_only_a_picture() -> None:
    _, words = cli.parse(["separate", "clip.mp4", "violin", "rooster barking"])
    assert words.queries == ("violin", "rooster barking")
    _, picture = cli.parse(["separate", "clip.mp4", "--image", "x.jpg"])
    assert picture.queries == () and picture.image == (Path("x.jpg"),)


def test_train_takes_several_overrides_and_store_its_action() -> None:
    _, plain = cli.parse("train clipsep --data store --out run --set a.b=1 --set c=x=y".split())
    assert isinstance(plain, train.Arguments) and plain.set == ("a.b=1", "c=x=y") == plain.overrides
    _, named = cli.parse("train clipsep --data store --out run --set a.b=1 --seed 0 --precision bf16".split())
    assert named.overrides == (
        "a.b=1",
        "training.seed=0",
        "training.precision=bf16",
    )
    expected = store.Arguments(action="check", store=Path("place"))
    assert cli.parse(["store", "check", "place"]) == ("store", expected)


def test_import_reads_its_kind_and_its_encoder() -> None:
    _, plain = cli.parse("import best.pt --as clipsep-nit --out model".split())
    assert plain == import_.Arguments(
        file=Path("best.pt"), kind="clipsep-nit", out=Path("model"), encoder="clip-vit-b32"
    )
    _, named = cli.parse("import best.pt --as clipsep --out model --encoder lite".split())
    assert named == import_.Arguments(file=Path("best.pt"), kind="clipsep", out=Path("model"), encoder="lite")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sing clip.mp4", "unknown verb 'sing'; see: trisep --help"),
        ("seperate clip.mp4 violin", "unknown verb 'seperate'; did you mean 'separate'? See: trisep --help"),
        ("separate", "INPUT"),
        ("separate clip.mp4", "--image"),
        ("separate clip.mp4 violin photo.JPG", "--image"),
        ("separate clip.mp4 other.mp4 violin", "--also"),
        ("separate clip.mp4 violin --thresold 1", "perhaps you meant --threshold"),
        ("separate clip.mp4 violin --threshold loud", "--threshold"),
        ("separate clip.mp4 violin --threshold 1.5", "between 0 and 1"),
        ("separate clip.mp4 violin --threshold nan", "between 0 and 1"),
        ("separate clip.mp4 violin --segment 0", "--segment must be above 0"),
        ("separate clip.mp4 violin --segment inf", "--segment must be finite, got inf"),
        ("separate clip.mp4 violin --format aiff", "aiff"),
        ("separate '' dog", "the argument after 'separate': expected words, a name or a path, got ''"),
        ("separate clip.mp4 dog --model ''", "the argument after '--model'"),
        ("separate clip.mp4 dog --model=", "--model: expected words, a name or a path, got ''"),
        ("info ''", "the argument after 'info'"),
        ("store check ''", "the argument after 'check'"),
        ("localize clip.mp4 red --fps 100000", "--fps must be between 0.01 and 60.0, got 100000.0"),
        ("prepare videos", "--out"),
        ("prepare videos --out store --sample-rate-hz 0", "--sample-rate-hz must be above 0"),
        ("prepare videos --out store --fps inf", "--fps must be between 0.01 and 60.0, got inf"),
        ("prepare videos --out store --max-seconds inf", "--max-seconds must be finite, got inf"),
        ("embed store --batch-size 3", "--batch-size"),
        ("store mend place", "mend"),
        ("train clipsep --data store --out run --set lr", "PATH=VALUE"),
        ("train clipsep --data store --out run --precision int8", "int8"),
        ("train clipsep --data store --out run --seed -1", "--seed must not be negative, got -1"),
        ("train clipsep --data store --out run --workers -1", "--workers must not be negative, got -1"),
        (
            "train clipsep --data store --out run --set training.seed=-1",
            "training.seed: expected 0 to 2^63 - 1, got -1",
        ),
        ("listening-test build --out test --model default --data dev --seed -1", "--seed must not be negative"),
        ("listening-test score ann.csv --key key.csv --seed -1", "--seed must not be negative"),
        ("import best.pt --as clipsep", "--out"),
        ("import best.pt --as resunet --out model", "resunet"),
        ("evaluate default --data dev --query smell", "smell"),
        ("evaluate default --data dev --limit 0", "--limit must be above 0"),
        ("evaluate default --data dev --limit 99999999999999999999", "--limit: expected a number below 2^63"),
        (
            "listening-test build --out o --model default --data dev --count 9223372036854775808",
            "--count: expected a number below",
        ),
        ("evaluate default", "missing: --data FOLDER|LIST; see: trisep evaluate --help"),
        ("train clipsep", "missing: --data STORE|ADDRESS, --out RUN; see"),
        ("evaluate default --data dev --limit nan", "--limit: expected a whole number, got 'nan'; see"),
        ("evaluate default --data dev --seed 1.5", "--seed: expected a whole number, got '1.5'; see"),
        (
            "separate clip.mp4 dog --duration long",
            "--duration: expected seconds, or minutes and seconds",
        ),
        (
            "separate clip.mp4 dog --start long",
            "--start: expected seconds, or minutes and seconds",
        ),
        ("separate clip.mp4 dog --subtype int8", "--subtype: expected one of float32, int16, int24, got 'int8'; see"),
        ("store mend place", "action: expected check, got 'mend'; see"),
        ("separate clip.mp4 dog --format", "--format: expected a value, got none; see"),
        ("separate -x clip.mp4 dog", "input: expected a value before -x, got none; see"),
        ("separate clip.mp4 do\0g", "the argument after 'clip.mp4': holds a zero byte"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_2(
    line: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(shlex.split(line)) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("trisep: error: ") and output.err.count("\n") == 1 and expected in output.err


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (MediaError("clip.mp4:\nno sound"), 2, "trisep: error: clip.mp4: no sound\n"),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out/violin.wav"),
            2,
            "trisep: error: out/violin.wav: No space left on device\n",
        ),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "out"), 2, "trisep: error: out: Permission denied\n"),
        (OSError("odd"), 2, "trisep: error: odd\n"),
        (KeyboardInterrupt(), 130, "trisep: interrupted\n"),
    ],
)
def test_errors_become_exit_codes(
    error: BaseException, code: int, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stub_verb(monkeypatch, raising(error))
    assert cli.main(["models"]) == code
    assert capsys.readouterr().err == message


def test_an_error_that_an_interruption_causes_is_an_interruption(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: object) -> int:
        try:
            raise KeyboardInterrupt(15)
        finally:
            raise RuntimeError("a worker was killed")

    stub_verb(monkeypatch, run)
    assert cli.main(["models"]) == 143
    assert capsys.readouterr().err == "trisep: interrupted\n"


def test_a_programming_error_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    stub_verb(monkeypatch, raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        cli.main(["models"])


@pytest.mark.parametrize("code", [0, 1])
def test_a_verb_decides_its_exit_code(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    stub_verb(monkeypatch, lambda arguments: code)
    assert cli.main(["models", "--json"]) == code


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="closes a pipe the POSIX way")
def test_a_reader_that_goes_away_is_no_traceback() -> None:
    program = """
import sys
import trisep
from trisep import cli
from trisep.commands import models
models.run = lambda arguments: print("x" * 1_000_000) or 0
sys.exit(cli.main(["models"]))
"""
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run(
        [sys.executable, "-c", program], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert result.returncode == 2
    assert result.stderr.startswith("trisep: error: ") and result.stderr.count("\n") == 1


def test_prepare_and_store_check_reach_their_verbs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["prepare", str(tmp_path / "absent"), "--out", str(tmp_path / "store")]) == 2
    assert "absent" in capsys.readouterr().err
    assert cli.main(["store", "check", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err


def test_train_reaches_the_recipes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "no_such_recipe", "--data", str(tmp_path), "--out", str(tmp_path / "run")]) == 2
    assert "no_such_recipe" in capsys.readouterr().err
    assert (
        cli.main(
            ["train", "clipsep", "--data", str(tmp_path), "--out", str(tmp_path / "run"), "--set", "training.sed=1"]
        )
        == 2
    )
    assert "seed" in capsys.readouterr().err


@pytest.mark.parametrize(("extra", "module"), [(name, one) for name, modules in EXTRAS.items() for one in modules])
def test_a_missing_extra_is_named(
    module: str, extra: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(arguments: object) -> int:
        raise ModuleNotFoundError(f"No module named '{module}'", name=module)

    monkeypatch.setattr(load_verb("models"), "run", run)
    assert cli.main(["models"]) == 2
    assert capsys.readouterr().err == (
        f"trisep: error: trisep models needs {module}, which is not installed; run: pip install 'trisep[{extra}]'\n"
    )


def test_a_module_of_no_extra_is_a_mistake_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(arguments: object) -> int:
        raise ModuleNotFoundError("No module named 'trisep.absent'", name="trisep.absent")

    monkeypatch.setattr(load_verb("models"), "run", run)
    with pytest.raises(ModuleNotFoundError):
        cli.main(["models"])


def test_the_base_installation_has_no_package_of_an_extra() -> None:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    extras = {name: needs for name, needs in project["optional-dependencies"].items() if name != "dev"}
    assert set(EXTRAS) == set(extras)
    names = {re.split(r"[\[<>=]", need)[0] for needs in extras.values() for need in needs}
    assert names & {re.split(r"[\[<>=]", need)[0] for need in project["dependencies"]} == set()


def test_names_are_shown_without_what_commands_a_terminal() -> None:
    assert shown("é 🎻 a\nb\x1b[2J\x9b\u202e\u2066") == "é 🎻 a\\u000ab\\u001b[2J\\u009b\\u202e\\u2066"


def test_an_error_is_one_line_whatever_the_name_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["tag", "no\nsuch\x1b[2J\u202e.wav"]) == 2
    assert capsys.readouterr().err == "trisep: error: no such\\u001b[2J\\u202e.wav: no such file; check the name\n"


def test_a_file_whose_name_begins_with_a_dash_is_told_from_an_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-clip.mp4").touch()
    assert cli.main(["separate", "-clip.mp4", "dog"]) == 2
    said = "trisep: error: -clip.mp4: a name that begins with a dash is taken for an option; write ./-clip.mp4; see"
    assert capsys.readouterr().err.startswith(said)


@pytest.mark.parametrize("option", ["--start", "--stream"])
def test_a_number_without_end_is_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["separate", "a.wav", "dog", option, "inf"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_folder_that_is_gone_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    stub_verb(monkeypatch, lambda _: len(os.getcwd()))
    assert cli.main(["models"]) == 2
    assert capsys.readouterr().err == "trisep: error: the current folder: No such file or directory\n"


def test_a_word_of_thousands_of_characters_is_shortened(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["9" * 5000]) == 2
    error = capsys.readouterr().err
    assert error.startswith("trisep: error: unknown verb '999") and error.endswith("999'; see: trisep --help\n")
    assert len(error) < 500 and error.count("…") == 1
