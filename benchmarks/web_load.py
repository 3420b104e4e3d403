"""What the page bears: twenty uploads at once, three of them broken and one of 4 GB; a killed process; strangers.

    python benchmarks/web_load.py [--large-gigabytes 4]

Starts `trisep web` with a temporary folder of its own, asks it as browsers do, and prints one table; the exit code is 1
where something is not as it should be. Memory is that of the server and its two processes together (PSS, from /proc, so
on Linux alone). The large file is the sample with an empty box behind it, which takes so much disk while it is there.
"""

import argparse
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from trisep.web.settings import bundled_sample

NUM_GOOD, NUM_BROKEN = 16, 3
WORDS = "dog barking"
PATIENCE_SECONDS = 900.0
MAX_MEMORY_BYTES = 2.5e9
MAX_FIRST_SECONDS = 10.0
_CHUNK = bytes(1 << 20)


class Server:
    """`trisep web` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        """Start it, and wait for the address that it prints."""
        environment = {**os.environ, "TMPDIR": str(folder)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "trisep.cli", "web", "--port", "0", "--max-gigabytes", "5"],
            stdout=subprocess.PIPE,
            env=environment,
        )
        assert self.process.stdout is not None
        found = re.search(r"http://\S+", self.process.stdout.readline().decode())
        assert found is not None, "trisep web did not start"
        address = urlsplit(found[0])
        self.port, self.token = address.port or 0, address.query.partition("=")[2]
        self.peak_bytes, self._is_over = 0, False
        self._watch = threading.Thread(target=self._measure)
        self._watch.start()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Return status and JSON of an answer; `body` is bytes, an iterator of bytes, or anything JSON can hold."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        sent = body if body is None or isinstance(body, bytes | Iterator) else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", **headers}
        connection.request(method, path, sent, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, json.loads(content) if content[:1] in (b"{", b"[") else content

    def until(self, key: str, condition: Any) -> Any:
        """Return what is told of a session once a condition holds."""
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            _, state = self.ask("GET", f"/api/sessions/{key}")
            if condition(state):
                return state
            assert time.monotonic() < end, state
            time.sleep(0.1)

    def children(self) -> list[int]:
        """Return the numbers of its processes."""
        text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(number) for number in text.split()]

    def stop(self) -> None:
        """End it as a terminal does."""
        self._is_over = True
        self._watch.join()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)

    def _measure(self) -> None:
        """Note the largest memory."""
        while not self._is_over:
            total = sum(memory_bytes(number) for number in (self.process.pid, *self.children()))
            self.peak_bytes = max(self.peak_bytes, total)
            time.sleep(0.2)


def main() -> None:
    """Ask, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large-gigabytes", type=float, default=4.0)
    arguments = parser.parse_args()
    sample = bundled_sample()
    assert sample is not None, "run it from the repository, which has the sample"
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        try:
            rows = [*first_stem(server, sample), *strangers(server)]
            rows += twenty(server, sample.read_bytes(), round(arguments.large_gigabytes * 1e9))
            rows += killed(server)
            peak = f"{server.peak_bytes / 1e9:.2f} GB"
            rows.append(("largest memory, all processes", "under 2.5 GB", peak, server.peak_bytes < MAX_MEMORY_BYTES))
            rows.append(left("files left once all are closed", Path(folder) / os.listdir(folder)[0]))
        finally:
            server.stop()
        rows.append(left("files left once it has ended", Path(folder)))
    load = os.getloadavg()[0]
    print(
        f"{os.cpu_count()} processors, load {load:.1f} at the end\n\n| what | expected | found | |\n|---|---|---|---|"
    )
    for what, expected, found, is_right in rows:
        print(f"| {what} | {expected} | {found} | {'as it should be' if is_right else '**wrong**'} |")
    sys.exit(not all(row[-1] for row in rows))


Row = tuple[str, str, str, bool]


def first_stem(server: Server, sample: Path) -> list[Row]:
    """How long it takes from the drop of the sample to its first stem."""
    begin = time.monotonic()
    _, state = server.ask("POST", f"/api/sessions?name={sample.name}", sample.read_bytes())
    server.until(state["key"], is_read)
    server.ask("POST", f"/api/sessions/{state['key']}/stems", {"text": WORDS})
    state = server.until(state["key"], lambda state: not is_open(state["stems"][0]))
    seconds = time.monotonic() - begin
    server.until(state["key"], is_settled)
    server.ask("DELETE", f"/api/sessions/{state['key']}")
    is_right = seconds < MAX_FIRST_SECONDS and state["stems"][0]["state"] == "done"
    return [("first stem of the sample after its drop", "within 10 s", f"{seconds:.1f} s", is_right)]


def strangers(server: Server) -> list[Row]:
    """What is said to those who may not ask."""
    own = f"http://127.0.0.1:{server.port}"
    cases = (
        ("a foreign Host", 421, {"Host": "evil.example"}),
        ("a foreign Origin", 403, {"Origin": "http://evil.example"}),
        ("no key", 403, {"Authorization": "", "Origin": own}),
        ("a wrong key", 403, {"Authorization": "Bearer wrong", "Origin": own}),
        ("a wrong key in a cookie", 403, {"Authorization": "", "Cookie": f"trisep-{server.port}=wrong"}),
    )
    found = [(what, wanted, server.ask("POST", "/api/sample", **headers)[0]) for what, wanted, headers in cases]
    return [(f"a request with {what}", str(wanted), str(status), wanted == status) for what, wanted, status in found]


def twenty(server: Server, content: bytes, large_bytes: int) -> list[Row]:
    """Upload all at once, and ask each for a sound."""
    broken = (content[: len(content) // 50], b"no video at all", bytes(100_000))
    bodies: dict[str, Any] = {f"good-{number}.mp4": content for number in range(NUM_GOOD)}
    bodies |= {f"broken-{number}.mp4": body for number, body in enumerate(broken)}
    length = len(content) + large_bytes
    bodies["large.mp4"] = padded(content, large_bytes)
    outcomes: dict[str, str] = {}

    def use(name: str) -> None:
        """Upload a file, ask it for a sound, close it; note how it went."""
        headers = {"Content-Length": str(length)} if name == "large.mp4" else {}
        status, state = server.ask("POST", f"/api/sessions?name={name}", bodies[name], **headers)
        if status != 201:
            outcomes[name] = f"{status} {state}"
            return
        state = server.until(state["key"], is_read)
        if state["reading"]["state"] == "done":
            server.ask("POST", f"/api/sessions/{state['key']}/stems", {"text": WORDS})
            state = server.until(state["key"], is_settled)
            outcomes[name] = state["stems"][0]["state"] if state["stems"] else "no stem"
        else:
            outcomes[name] = f"said: {state['reading']['error']}"
        server.ask("DELETE", f"/api/sessions/{state['key']}")

    threads = [threading.Thread(target=use, args=(name,)) for name in bodies]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - begin
    done = sum(outcome == "done" for name, outcome in outcomes.items() if name.startswith("good"))
    said = [outcome for name, outcome in outcomes.items() if name.startswith("broken")]
    is_said = len(said) == NUM_BROKEN and all(outcome.startswith("said: broken-") for outcome in said)
    large = outcomes.get("large.mp4", "lost")
    return [
        ("good files of 20 at once, each separated", str(NUM_GOOD), f"{done} in {seconds:.0f} s", done == NUM_GOOD),
        ("broken ones, told by name", str(NUM_BROKEN), str(len(said) if is_said else said), is_said),
        (f"one of {large_bytes / 1e9:g} GB, separated", "done", large, large == "done"),
    ]


def killed(server: Server) -> list[Row]:
    """Kill the process that separates in the middle of its work."""
    _, state = server.ask("POST", "/api/sample")
    key = server.until(state["key"], is_read)["key"]
    server.ask("POST", f"/api/sessions/{key}/stems", {"text": WORDS})
    server.until(key, lambda state: state["stems"][0]["state"] == "running" and not is_open(state["heard"]))
    for number in server.children():
        os.kill(number, signal.SIGKILL)
    error = server.until(key, is_settled)["stems"][0]["error"] or "nothing is said"
    server.ask("POST", f"/api/sessions/{key}/stems", {"text": WORDS})
    after = server.until(key, is_settled)["stems"][1]["state"]
    server.ask("DELETE", f"/api/sessions/{key}")
    return [
        ("a separation whose process is killed (-9)", "told", error, "signal 9" in error),
        ("the next one", "done", after, after == "done"),
    ]


def left(what: str, folder: Path) -> Row:
    """What is still in a folder."""
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    return what, "none", ", ".join(names) or "none", not names


def padded(content: bytes, num_bytes: int) -> Iterator[bytes]:
    """Yield an mp4 file with a box behind it that holds nothing, of so many bytes."""
    yield content
    yield (1).to_bytes(4, "big") + b"free" + num_bytes.to_bytes(8, "big")
    for begin in range(16, num_bytes, len(_CHUNK)):
        yield _CHUNK[: num_bytes - begin]


def is_open(job: Any) -> bool:
    """Tell whether a job waits or runs."""
    return job is not None and job["state"] in ("waiting", "running")


def is_read(state: Any) -> bool:
    """Tell whether the file was read."""
    return not is_open(state["reading"])


def is_settled(state: Any) -> bool:
    """Tell whether nothing of a session waits or runs."""
    jobs = [state[name] for name in ("reading", "heard", "rest")] + state["stems"]
    return not any(map(is_open, jobs))


def memory_bytes(number: int) -> int:
    """Return the memory of a process, its share of what it shares; 0 for one that has ended."""
    try:
        rows = Path(f"/proc/{number}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(row.split()[1]) for row in rows if row.startswith("Pss:"))


if __name__ == "__main__":
    main()
