"""Checkpoints on a hub: a folder in its place, the protocol of the Hugging Face hub, use without a network, and files
that are not what they should be.
"""

import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from trisep import cli
from trisep.checkpoints.format import save_model
from trisep.checkpoints.hub import SUMS, HubName, fetch_checkpoint, parse_hub_name, push_checkpoint
from trisep.checkpoints.registry import load_named
from trisep.errors import CheckpointError
from trisep.models import clipsep
from trisep.types import SignalSettings


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """What a training run leaves, as far as a hub is concerned."""
    torch.manual_seed(0)
    card = {"signal": asdict(SignalSettings()), "encoder": "lite", "encoder_fingerprint": "3" * 16}
    card |= {"name": "birds", "description": "A model of birds.", "licence": "Apache-2.0", "step": 7}
    save_model(tmp_path / "run" / "model", clipsep.Config.tiny().build(), model_name="clipsep", card=card)
    return tmp_path / "run"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of the hub."""
    monkeypatch.setenv("TRISEP_HUB", (tmp_path / "a hub").as_uri())
    return tmp_path / "a hub"


def test_names_are_read() -> None:
    assert parse_hub_name("hf:me/birds") == HubName("me/birds", None)
    assert parse_hub_name("hf:me/birds@v1.2") == HubName("me/birds", "v1.2") and str(HubName("a/b", "c")) == "hf:a/b@c"
    for wrong in (
        "hf:birds",
        "hf:me/birds/x",
        "hf:../birds",
        "hf:me/..",
        "hf:me/birds@",
        "hf:me/birds@../x",
        "hf:a/b\n",
    ):
        with pytest.raises(CheckpointError, match="expected hf:OWNER/NAME or hf:OWNER/NAME@REVISION"):
            parse_hub_name(wrong)


def test_what_is_pushed_is_what_is_loaded(run_folder: Path, hub: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["push", str(run_folder), "hf:me/birds"]) == 0
    assert cli.main(["push", str(run_folder / "model"), "hf:me/birds@v2"]) == 0
    assert capsys.readouterr().out == f"{hub}/me/birds/main\n{hub}/me/birds/v2\n"
    for name in ("hf:me/birds", "hf:me/birds@v2"):
        loaded, own = load_named(name), load_named(run_folder / "model")
        for key, value in own.model.state_dict().items():
            assert torch.equal(loaded.model.state_dict()[key], value), key
    assert cli.main(["info", "hf:me/birds"]) == 0
    assert "A model of birds." in capsys.readouterr().out
    readme = (hub / "me/birds/v2/README.md").read_text()
    assert readme.startswith("---\nlicense: apache-2.0\nlibrary_name: trisep\n")
    assert "# birds" in readme and "--model hf:me/birds@v2" in readme and "A model of birds." in readme
    push_checkpoint(run_folder / "model", "hf:me/birds")  # once more replaces it
    assert sorted(path.name for path in (hub / "me/birds").iterdir()) == ["main", "v2"]


def test_files_are_accepted_by_their_sums(run_folder: Path, hub: Path) -> None:
    place = Path(push_checkpoint(run_folder / "model", "hf:me/birds"))
    weights, sums = place / "model.safetensors", (place / SUMS).read_text()
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(
        CheckpointError, match=r"model.safetensors: expected sha256 \w+…, got \w+…; the file was altered"
    ):
        fetch_checkpoint("hf:me/birds")
    content[-1] ^= 1
    weights.write_bytes(content)
    assert fetch_checkpoint("hf:me/birds") == place
    (place / SUMS).write_text(sums.splitlines()[0])
    with pytest.raises(CheckpointError, match="expected sha256 none…"):
        fetch_checkpoint("hf:me/birds")
    weights.unlink()
    with pytest.raises(CheckpointError, match="hf:me/birds: model.safetensors is missing"):
        fetch_checkpoint("hf:me/birds")
    (place / SUMS).unlink()
    with pytest.raises(CheckpointError, match="hf:me/birds: not a model that trisep pushed"):
        fetch_checkpoint("hf:me/birds")


def test_what_is_no_checkpoint_is_not_replaced_by_one_that_is_pushed(run_folder: Path, hub: Path) -> None:
    place = hub / "me" / "birds" / "main"
    for _ in range(2):
        assert push_checkpoint(run_folder / "model", "hf:me/birds") == str(place)
    (place / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match=r"main: holds other things \(notes.txt\), which a checkpoint would"):
        push_checkpoint(run_folder / "model", "hf:me/birds")
    assert (place / "notes.txt").read_text() == "mine"


def test_a_card_with_half_a_character_is_pushed_and_sums_that_are_a_pipe_are_not_waited_for(
    run_folder: Path, hub: Path
) -> None:
    card = run_folder / "model" / "config.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"description": "half \ud800"}))
    place = Path(push_checkpoint(run_folder / "model", "hf:me/birds"))
    assert "half \\ud800" in (place / "README.md").read_text()
    (place / SUMS).unlink()
    os.mkfifo(place / SUMS)
    with pytest.raises(CheckpointError, match="hf:me/birds: not a model that trisep pushed"):
        fetch_checkpoint("hf:me/birds")


def test_what_leads_nowhere_is_said(
    run_folder: Path, hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CheckpointError, match="hf:me/fish: not in the hub"):
        fetch_checkpoint("hf:me/fish")
    with pytest.raises(CheckpointError, match="not a checkpoint folder"):
        push_checkpoint(tmp_path, "hf:me/fish")
    (run_folder / "model" / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="holds no model.safetensors"):
        push_checkpoint(run_folder / "model", "hf:me/fish")
    monkeypatch.setenv("TRISEP_HUB", "https://example.org")
    with pytest.raises(CheckpointError, match="expected a folder or a file:// address"):
        fetch_checkpoint("hf:me/fish")
    assert not hub.exists()


def test_a_push_to_the_hub_makes_repository_and_branch(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub")
    calls: list[tuple[str, Any]] = []

    class Api:
        def create_repo(self, name: str, **options: Any) -> str:
            calls.append((name, options))
            return f"https://hub.example/{name}"

        def create_branch(self, name: str, **options: Any) -> None:
            calls.append((name, options))

        def upload_folder(self, *, folder_path: Path, repo_id: str, revision: str | None, commit_message: str) -> None:
            shutil.copytree(folder_path, tmp_path / "uploaded")
            calls.append((repo_id, revision))

    monkeypatch.delenv("TRISEP_HUB", raising=False)
    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    assert push_checkpoint(run_folder / "model", "hf:me/birds@v2", private=True) == "https://hub.example/me/birds"
    repository = {"private": True, "exist_ok": True}
    assert calls == [("me/birds", repository), ("me/birds", {"branch": "v2", "exist_ok": True}), ("me/birds", "v2")]
    names = ["README.md", SUMS, "config.json", "model.safetensors"]
    assert sorted(path.name for path in (tmp_path / "uploaded").iterdir()) == names

    def refuse(self: Api, name: str, **options: Any) -> str:
        raise OSError("no token")

    monkeypatch.setattr(Api, "create_repo", refuse)
    with pytest.raises(
        CheckpointError, match=r"me/birds: cannot be pushed \(no token\); check the connection, and log in"
    ):
        push_checkpoint(run_folder / "model", "hf:me/birds")


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A server that speaks as much of the hub's protocol as a download needs, for the repository me/birds."""
    commit = "c" * 40

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def _answer(self, *, with_body: bool) -> None:
            path = self.path.partition("?")[0]
            status, headers, content = 404, {"X-Error-Code": "RepoNotFound"}, b"{}"
            if path.startswith("/api/models/me/birds/tree/"):
                rows = [
                    {"type": "file", "path": file.name, "oid": "0", "size": file.stat().st_size}
                    for file in folder.iterdir()
                ]
                status, headers, content = 200, {"Content-Type": "application/json"}, json.dumps(rows).encode()
            elif path.startswith("/api/models/me/birds"):
                rows = [{"rfilename": file.name} for file in folder.iterdir()]
                told = {
                    "id": "me/birds",
                    "modelId": "me/birds",
                    "sha": commit,
                    "siblings": rows,
                    "private": False,
                    "tags": [],
                }
                status, headers, content = 200, {"Content-Type": "application/json"}, json.dumps(told).encode()
            elif path.startswith(f"/me/birds/resolve/{commit}/"):
                content = (folder / path.rpartition("/")[2]).read_bytes()
                status, headers = 200, {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(content)

        def log_message(self, *values: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.slow
def test_the_hub_is_asked_once_and_then_its_cache(run_folder: Path, hub: Path, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    place = Path(push_checkpoint(run_folder / "model", "hf:me/birds"))
    (place / "pytorch_model.bin").write_bytes(b"nobody asked for this")

    def info(name: str, endpoint: str) -> subprocess.CompletedProcess[str]:
        """The card of a model, in a process that keeps its cache here."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRISEP_"))}
        environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_DISABLE_TELEMETRY": "1"}
        environment |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_XET": "1"}
        command = [sys.executable, "-m", "trisep.cli", "info", name]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)

    with served(place) as endpoint:
        first, absent = info("hf:me/birds", endpoint), info("hf:me/fish", endpoint)
    assert first.returncode == 0 and "A model of birds." in first.stdout, first.stderr
    assert absent.returncode == 2 and "hf:me/fish: the hub has no such model, or it is private" in absent.stderr
    assert not list((tmp_path / "cache").rglob("*.bin"))
    later = info("hf:me/birds", endpoint)  # nobody answers there any more
    assert later.returncode == 0 and "A model of birds." in later.stdout, later.stderr
    never = info("hf:me/cats", endpoint)
    assert never.returncode == 2 and "cannot be fetched and was not fetched before" in never.stderr
    (weights,) = (tmp_path / "cache").rglob("model.safetensors")
    weights.resolve().write_bytes(b"altered")
    altered = info("hf:me/birds", endpoint)
    assert altered.returncode == 2 and "the file was altered or cut off" in altered.stderr
