"""What the command line chooses for the page, and what it refuses."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from trisep import cli
from trisep.errors import ConfigError
from trisep.web import serve
from trisep.web.settings import WebSettings


def test_the_command_hands_its_choices_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    chosen: list[WebSettings] = []
    monkeypatch.setattr(serve, "serve", lambda settings, on_ready: chosen.append(settings))
    (tmp_path / "clip.mp4").write_bytes(b"x")
    words = f"web --port 0 --allow-host a.example --model vast --device cpu --demo --sample {tmp_path}/clip.mp4"
    assert cli.main([*words.split(), "--max-gigabytes", "0.5", "--max-minutes", "2", "--max-waiting", "3"]) == 0
    expected = WebSettings(
        port=0,
        allowed_hosts=("a.example",),
        model="vast",
        device="cpu",
        demo=True,
        sample=tmp_path / "clip.mp4",
        max_upload_bytes=500_000_000,
        max_seconds=120.0,
        max_waiting=3,
    )
    assert chosen == [expected]


@pytest.mark.parametrize(("option", "value"), [("port", "70000"), ("max-minutes", "0"), ("max-waiting", "-1")])
def test_numbers_out_of_range_are_refused(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["web", f"--{option}={value}"]) == 2
    assert f"--{option} must be" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--max-gigabytes 1e305", "--max-gigabytes must be between"),
        ("--max-minutes 1e307", "--max-minutes must be between"),
        ("--sample nothing.mp4", "--sample nothing.mp4: expected a video"),
        ("--allow-host https://sound.example.org", "--allow-host: expected a name alone"),
        ("--allow-host sound.example.org:8443", "--allow-host: expected a name alone"),
        ("--port 0 --host 192.0.2.1", "--host: 192.0.2.1 is no address of this computer"),
    ],
)
def test_what_cannot_be_served_is_refused_before_the_model_is_loaded(
    words: str, expected: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(serve, "application")
    assert cli.main(["web", *words.split()]) == 2
    told = capsys.readouterr().err
    assert expected in told and told.count("\n") == 1


def test_a_port_that_is_taken_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(serve, "application")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert cli.main(["web", "--port", str(port)]) == 2
    assert f"port {port} of 127.0.0.1 is taken; choose another --port" in capsys.readouterr().err


def test_a_demo_needs_a_sample(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--sample"):
        WebSettings(demo=True, sample=tmp_path / "absent.mp4")


@pytest.mark.slow
def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    # What a shell starts in the background ignores Ctrl+C, and so would whatever it starts: tests of it included.
    heeds = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    run = f"{heeds}; from trisep import cli; raise SystemExit(cli.main(['web', '--port', '0']))"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", run], stdout=subprocess.PIPE, env=environment, text=True) as process:
        try:
            assert process.stdout is not None and "http://127.0.0.1:" in process.stdout.readline()
            assert [path.name.startswith("trisep-web-") for path in tmp_path.iterdir()] == [True]
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
        finally:
            process.kill()
    assert list(tmp_path.iterdir()) == []
