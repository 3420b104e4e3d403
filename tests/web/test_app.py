"""The page as a whole, over a real server with the default model: what people do, and what must not harm it."""

import json
import os
import signal
import socket
import threading
import time
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image
from web_page import PATIENCE_SECONDS, TOKEN, Served

from trisep.media.audio import read_audio, write_audio
from trisep.media.probe import open_media
from trisep.media.video import read_frames
from trisep.types import Audio

pytestmark = pytest.mark.slow


def is_open(job: dict[str, Any] | None) -> bool:
    return job is not None and job["state"] in ("waiting", "running")


def settled(state: dict[str, Any]) -> bool:
    return not any(is_open(job) for job in (state["rest"], *state["stems"], *state["exports"]))


def packets(path: Path) -> list[bytes]:
    with open_media(path) as container:
        return [bytes(packet) for packet in container.demux(container.streams.video[0]) if packet.size]


def test_from_a_video_to_its_exports(served: Served, sample: Path, tmp_path: Path) -> None:
    state = served.opened(sample.read_bytes(), quote("my dog.mp4"))
    key, sound = state["key"], state["reading"]["result"]["sound"]
    assert (state["title"], state["reading"]["error"], state["reading"]["result"]["picture"]) == (
        "my dog.mp4",
        None,
        [640, 320],
    )
    place = {"x": 0.1, "y": 0.2, "width": 0.3, "height": 0.4, "time_seconds": 1.0}
    for query in ({"text": "dog  barking"}, {"place": place}):
        served.told("POST", f"/api/sessions/{key}/stems", query)
    state = served.until(key, settled)
    dog, box = state["stems"]
    assert [(stem["name"], stem["kind"], stem["state"]) for stem in (dog, box)] == [
        ("dog barking", "text", "done"),
        ("box at 1.0 s", "place", "done"),
    ]
    assert (
        dog["result"]["present"] and len(dog["result"]["peaks"]) > 900 and len(state["rest"]["result"]["peaks"]) > 900
    )

    path = f"/api/sessions/{key}/stems/{dog['key']}/sound"
    whole = served.ask("GET", path)[2]
    status, headers, part = served.ask("GET", path, Range="bytes=1000-1999")
    assert (status, headers["content-range"], part) == (206, f"bytes 1000-1999/{len(whole)}", whole[1000:2000])
    assert served.ask("GET", path, Range=f"bytes={len(whole)}-")[0] == 416
    assert served.ask("GET", f"/api/sessions/{key}/media")[2] == sample.read_bytes()
    stem = np.frombuffer(whole[dog["result"]["offset"] :], "<f4").reshape(-1, 2).T
    content = served.ask("GET", f"/api/sessions/{key}/sound")[2]
    mixture = np.frombuffer(content[sound["offset"] :], "<f4").reshape(-1, 2).T
    assert stem.shape == mixture.shape and 0 < np.square(stem).sum() < np.square(mixture).sum()

    served.told("PUT", f"/api/sessions/{key}/stems/{box['key']}", {"text": "trumpet"})
    state = served.until(key, settled)
    assert [stem["name"] for stem in state["stems"]] == ["dog barking", "trumpet"]
    assert state["stems"][0]["result"] == dog["result"] and served.ask("GET", path)[2] == whole

    address = f"/api/sessions/{key}/stems/{dog['key']}/spectrogram"
    status, headers, drawn = served.ask("GET", address)
    assert (status, headers["content-type"]) == (200, "image/png") and served.ask("GET", address)[2] == drawn
    grey = np.asarray(Image.open(BytesIO(drawn)))
    assert grey.shape == (256, 1200) and grey.max() == 255
    assert served.ask("GET", f"/api/sessions/{key}/stems/none/spectrogram")[0] == 404

    served.told("POST", f"/api/sessions/{key}/stems/{dog['key']}/heat")
    served.until(key, lambda state: not is_open(state["stems"][0]["heat"]))
    heat = served.told("GET", f"/api/sessions/{key}/stems/{dog['key']}/heat")
    assert np.shape(heat["maps"]) == (len(heat["times"]), *heat["size"]) and np.max(heat["maps"]) <= 255

    served.told("POST", f"/api/sessions/{key}/exports", {"kind": "zip"})
    served.told("POST", f"/api/sessions/{key}/exports", {"kind": "rest"})
    served.told("POST", f"/api/sessions/{key}/exports", {"kind": "video", "gains": {dog["key"]: 1.0}})
    state = served.until(key, settled)
    made = {export["kind"]: export for export in state["exports"]}
    assert made["video"]["result"]["title"] == "my dog mix.mp4", made
    video = tmp_path / "mix.mp4"
    status, headers, content = served.ask("GET", f"/api/sessions/{key}/exports/{made['video']['key']}")
    video.write_bytes(content)
    assert headers["content-disposition"] == "attachment; filename*=utf-8''my%20dog%20mix.mp4"
    assert packets(video) == packets(sample)
    heard = read_audio(video).samples[:, : stem.shape[1]]
    assert np.corrcoef(heard[0], stem[0, : heard.shape[1]])[0, 1] > 0.95
    with zipfile.ZipFile(BytesIO(served.ask("GET", f"/api/sessions/{key}/exports/{made['zip']['key']}")[2])) as archive:
        assert sorted(archive.namelist()) == ["dog_barking.wav", "residual.wav", "trumpet.wav"]
        archive.extractall(tmp_path)
    assert made["rest"]["result"]["title"] == "my dog everything else.wav"
    rest = tmp_path / "rest.wav"
    rest.write_bytes(served.ask("GET", f"/api/sessions/{key}/exports/{made['rest']['key']}")[2])
    np.testing.assert_allclose(read_audio(rest).samples, read_audio(tmp_path / "residual.wav").samples, atol=2e-7)
    total = sum(read_audio(tmp_path / name).samples for name in ("dog_barking.wav", "residual.wav", "trumpet.wav"))
    np.testing.assert_allclose(total, mixture, atol=1e-6)

    served.told("DELETE", f"/api/sessions/{key}/stems/{dog['key']}")
    assert [stem["name"] for stem in served.until(key, settled)["stems"]] == ["trumpet"]
    assert served.ask("DELETE", f"/api/sessions/{key}")[0] == 204
    assert served.ask("GET", f"/api/sessions/{key}")[0] == 404 and list(served.folder.iterdir()) == []


def test_a_killed_process_fails_its_job_in_words_and_the_next_one_is_done(served: Served, noise: bytes) -> None:
    key = served.opened(noise, "noise.wav")["key"]
    lane = served.lane("network")
    assert lane.process is not None
    victim = lane.process.pid
    os.kill(victim, signal.SIGSTOP)
    served.told("POST", f"/api/sessions/{key}/stems", {"text": "dog"})
    served.until(key, lambda state: state["stems"][0]["state"] == "running")
    os.kill(victim, signal.SIGKILL)
    state = served.until(key, settled)
    assert state["stems"][0]["state"] == "failed" and "stopped (signal 9)" in state["stems"][0]["error"]
    served.told("POST", f"/api/sessions/{key}/stems", {"text": "dog"})
    state = served.until(key, settled)
    assert state["stems"][1]["state"] == "done" and lane.process.pid != victim
    folders = {path.name for path in (served.folder / key / "stems").iterdir()}
    assert len(folders) == 1
    served.told("DELETE", f"/api/sessions/{key}")


def test_a_running_job_and_a_waiting_one_are_cancelled(served: Served, noise: bytes) -> None:
    key = served.opened(noise, "noise.wav")["key"]
    lane = served.lane("network")
    assert lane.process is not None
    os.kill(lane.process.pid, signal.SIGSTOP)
    for words in ("dog", "cat", "violin"):
        served.told("POST", f"/api/sessions/{key}/stems", {"text": words})
    state = served.until(key, lambda state: state["stems"][0]["state"] == "running")
    assert [stem["num_before"] for stem in state["stems"]] == [0, 1, 2]
    for stem in state["stems"][:2]:
        served.told("DELETE", f"/api/sessions/{key}/stems/{stem['key']}")
    state = served.until(key, settled)
    assert [(stem["name"], stem["state"]) for stem in state["stems"]] == [("violin", "done")]
    assert len(list((served.folder / key / "stems").iterdir())) == 1
    served.told("DELETE", f"/api/sessions/{key}")


def test_a_cancelled_job_costs_no_new_process(served: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("trisep.web.lane._STOP_SECONDS", PATIENCE_SECONDS)
    samples = np.random.default_rng(0).normal(0, 0.1, (1, 19 * 16000)).astype(np.float32)
    write_audio(tmp_path / "long.wav", Audio(samples, 16000), subtype="wav_float32")
    key = served.opened((tmp_path / "long.wav").read_bytes(), "long.wav")["key"]
    lane = served.lane("network")
    assert lane.process is not None
    number = lane.process.pid
    served.told("POST", f"/api/sessions/{key}/stems", {"text": "dog"})
    state = served.until(key, lambda state: state["stems"][0]["share"] > 0)
    served.told("DELETE", f"/api/sessions/{key}/stems/{state['stems'][0]['key']}")
    served.told("POST", f"/api/sessions/{key}/stems", {"text": "cat"})
    state = served.until(key, settled)
    assert [(stem["name"], stem["state"]) for stem in state["stems"]] == [("cat", "done")]
    assert lane.process.pid == number and len(list((served.folder / key / "stems").iterdir())) == 1
    served.told("DELETE", f"/api/sessions/{key}")


def test_files_that_are_no_media_are_refused_by_the_name_their_owner_knows(served: Served, noise: bytes) -> None:
    for content, name, expected in (
        (b"<html><script>alert(1)</script>", "evil.html", "evil.html: cannot be read as sound or video"),
        (noise[:60], "cut.wav", "cut.wav"),
    ):
        state = served.opened(content, name)
        assert state["reading"]["state"] == "failed" and expected in state["reading"]["error"]
        assert str(served.folder) not in state["reading"]["error"] and "Traceback" not in state["reading"]["error"]
        status, headers, _ = served.ask("GET", f"/api/sessions/{state['key']}/media")
        assert (status, headers["content-type"]) == (200, "application/octet-stream")
        assert headers["x-content-type-options"] == "nosniff"
        assert served.ask("POST", f"/api/sessions/{state['key']}/stems", {"text": "dog"})[0] == 409
        served.told("DELETE", f"/api/sessions/{state['key']}")
    assert list(served.folder.iterdir()) == []


def test_sizes_and_lengths_have_limits(served: Served, tmp_path: Path) -> None:
    too_large = bytes(3_000_001)
    status, _, content = served.ask("POST", "/api/sessions?name=large.wav", too_large)
    assert status == 413 and "limit" in json.loads(content)["error"]
    assert served.ask("POST", "/api/sessions?name=none.wav", b"")[0] == 400
    write_audio(tmp_path / "long.wav", Audio(np.zeros((1, 8000 * 21), np.float32), 8000), subtype="wav_float32")
    state = served.opened((tmp_path / "long.wav").read_bytes(), "long.wav")
    assert "here at most" in state["reading"]["error"]
    served.told("DELETE", f"/api/sessions/{state['key']}")
    assert list(served.folder.iterdir()) == []


@pytest.mark.parametrize("head", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
def test_a_broken_upload_leaves_nothing(served: Served, head: str) -> None:
    with socket.create_connection(("127.0.0.1", served.port)) as connection:
        request = f"POST /api/sessions?name=a.wav HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
        connection.sendall(f"{request}{head}\r\n\r\n".encode() + b"3e8\r\n" + b"x" * 500)
        wait_until(lambda: len(list(served.folder.iterdir())) == 1)
    wait_until(lambda: list(served.folder.iterdir()) == [])


def wait_until(condition: Any) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    "body",
    [
        {}, {"text": ""}, {"text": "?!"}, {"text": 3}, {"text": "x" * 201}, [], b"{", b"x" * 70_000, b"[" * 50_000,
        {"place": {}}, {"place": {"x": 0, "y": 0, "width": 0, "height": 0, "time_seconds": "now"}},
        {"span": 3}, {"span": [2, 1]}, {"span": [0, "x"]}, {"span": [-1, 2]}, {"span": [0, 1, 2]},
        {"place": {"x": True, "y": 0, "width": 0, "height": 0, "time_seconds": 0}},
    ],
)  # fmt: skip
def test_questions_that_make_no_sense_are_refused(served: Served, noise: bytes, body: Any) -> None:
    key = served.opened(noise, "noise.wav")["key"]
    status, _, content = served.ask("POST", f"/api/sessions/{key}/stems", body)
    assert status in (400, 413) and json.loads(content)["error"]
    served.told("DELETE", f"/api/sessions/{key}")


def test_a_place_outside_the_picture_and_a_photograph_that_is_none_fail_in_words(served: Served, sample: Path) -> None:
    key = served.opened(sample.read_bytes(), "dog.mp4")["key"]
    place = {"x": 3.0, "y": 0.0, "width": 0.0, "height": 0.0, "time_seconds": 0.0}
    served.told("POST", f"/api/sessions/{key}/stems", {"place": place})
    served.told("POST", f"/api/sessions/{key}/stems/picture?name=cat.png", b"not a picture")
    state = served.until(key, settled)
    assert [stem["state"] for stem in state["stems"]] == ["failed", "failed"]
    assert "outside the picture" in state["stems"][0]["error"] and "not a picture" in state["stems"][1]["error"]
    served.told("DELETE", f"/api/sessions/{key}")


@pytest.mark.parametrize("name", ["../../etc/passwd", "..\\..\\x.wav", "/etc/passwd", "\x00.wav", "a" * 5000])
def test_names_reach_no_other_folder(served: Served, noise: bytes, name: str) -> None:
    state = served.opened(noise, quote(name, safe=""))
    (folder,) = served.folder.iterdir()
    assert {path.name.partition(".")[0] for path in folder.iterdir()} == {"input", "sound", "stems", "exports"}
    assert "/" not in state["title"] and "\\" not in state["title"] and len(state["title"]) <= 200
    served.told("DELETE", f"/api/sessions/{state['key']}")


def test_other_paths_lead_nowhere(served: Served) -> None:
    for path in (
        "/page/../app.py",
        "/page/%2e%2e/app.py",
        "/page//etc/passwd",
        "/api/sessions/..",
        "/api/sessions/x/media",
    ):
        assert served.ask("GET", path)[0] == 404, path


def test_twenty_uploads_at_once(served: Served, noise: bytes) -> None:
    contents = [noise] * 16 + [noise[:50]] * 3 + [bytes(3_500_000)]
    answers: list[Any] = []

    def upload(content: bytes) -> None:
        answers.append(served.ask("POST", "/api/sessions?name=a.wav", content))

    threads = [threading.Thread(target=upload, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    keys = [json.loads(content)["key"] for status, _, content in answers if status == 201]
    assert sorted(status for status, _, _ in answers) == [201] * 19 + [413]
    states = [served.until(key, lambda state: not is_open(state["reading"]))["reading"]["state"] for key in keys]
    assert sorted(states) == ["done"] * 16 + ["failed"] * 3
    for key in keys:
        served.told("DELETE", f"/api/sessions/{key}")
    assert list(served.folder.iterdir()) == []


def test_a_photograph_is_a_query(served: Served, sample: Path, noise: bytes) -> None:
    key = served.opened(noise, "noise.wav")["key"]
    picture = BytesIO()
    Image.fromarray(read_frames(sample, [1.0])[0][:, :320]).save(picture, format="PNG")
    served.told("POST", f"/api/sessions/{key}/stems/picture?name={quote('my dog.png')}", picture.getvalue())
    stem = served.until(key, settled)["stems"][0]
    assert (stem["name"], stem["kind"], stem["state"], stem["error"]) == ("my dog", "image", "done", None)
    served.told("DELETE", f"/api/sessions/{key}")


def test_a_span_and_a_sound_are_queries_and_are_found_in_the_picture(
    served: Served, sample: Path, tmp_path: Path
) -> None:
    key = served.opened(sample.read_bytes(), "dog.mp4")["key"]
    write_audio(tmp_path / "bark.wav", read_audio(sample, duration_seconds=1.5), subtype="wav_float32")
    served.told("POST", f"/api/sessions/{key}/stems", {"span": [0.5, 1.5]})
    served.told("POST", f"/api/sessions/{key}/stems/sound?name=my%20bark.wav", (tmp_path / "bark.wav").read_bytes())
    served.told("POST", f"/api/sessions/{key}/stems/sound?name=broken.mp3", b"no sound")
    served.told("POST", f"/api/sessions/{key}/stems", {"span": [500.0, 501.0]})
    stems = served.until(key, settled)["stems"]
    assert [(stem["name"], stem["kind"], stem["state"]) for stem in stems] == [
        ("0.5-1.5 s", "span", "done"),
        ("my bark", "sound", "done"),
        ("broken", "sound", "failed"),
        ("500.0-501.0 s", "span", "failed"),
    ]
    assert stems[2]["error"].startswith("broken: cannot be read as sound or video")
    assert "the span 500-501 s lies outside" in stems[3]["error"] and "/" not in stems[3]["error"]
    for stem in stems[:2]:
        served.told("POST", f"/api/sessions/{key}/stems/{stem['key']}/heat")
    found = served.until(key, lambda state: not any(is_open(stem["heat"]) for stem in state["stems"] if stem["heat"]))
    assert [stem["heat"]["state"] for stem in found["stems"][:2]] == ["done", "done"]
    assert not list((served.folder / key).glob("*.part"))
    served.told("DELETE", f"/api/sessions/{key}")


def test_sessions_that_nobody_uses_are_removed(served: Served, noise: bytes) -> None:
    old, new = (served.opened(noise, name)["key"] for name in ("old.wav", "new.wav"))
    sessions = served.app.state.sessions
    sessions.get(old).used -= 3601
    served.run(sessions.close_unused())
    assert [path.name for path in served.folder.iterdir()] == [new]
    assert "removed" in json.loads(served.ask("GET", f"/api/sessions/{old}")[2])["error"]
    served.told("DELETE", f"/api/sessions/{new}")


def test_the_queue_is_bounded(served: Served, noise: bytes) -> None:
    keys = [served.opened(noise, "noise.wav")["key"] for _ in range(4)]
    lane = served.lane("network")
    assert lane.process is not None
    os.kill(lane.process.pid, signal.SIGSTOP)
    asked = [served.ask("POST", f"/api/sessions/{key}/stems", {"text": "dog"})[0] for key in keys for _ in range(10)]
    assert asked.count(201) == 33 and asked.count(503) == 4, "32 wait, one runs"
    assert asked.count(409) == 3, "nine sounds a file are the most"
    for key in keys:
        served.told("DELETE", f"/api/sessions/{key}")
    assert list(served.folder.iterdir()) == []
