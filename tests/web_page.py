"""A page that runs: its processes, its server on a free port, and a client that asks it as a browser would."""

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette

from trisep.web.lane import Lane
from trisep.web.serve import application
from trisep.web.settings import WebSettings

TOKEN = "a-key-of-the-tests"
PATIENCE_SECONDS = 300.0


class Served:
    """A page that is served by a thread of its own, and the requests to it."""

    def __init__(self, settings: WebSettings) -> None:
        self._settings, self._loop, self._ready = settings, asyncio.new_event_loop(), threading.Event()
        self.app: Starlette
        self.port = 0
        self._server: uvicorn.Server
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._ready.wait(PATIENCE_SECONDS)
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:
            self._failure = error
        finally:
            self._ready.set()
            self._loop.close()

    async def _serve(self) -> None:
        async with application(self._settings, token=TOKEN) as self.app:
            config = uvicorn.Config(
                self.app, host="127.0.0.1", port=0, log_level="error", lifespan="off", loop="asyncio"
            )
            listener = config.bind_socket()
            listener.listen()
            self.port, self._server = listener.getsockname()[1], uvicorn.Server(config)
            self._ready.set()
            await self._server.serve(sockets=[listener])

    @property
    def folder(self) -> Path:
        folder: Path = self.app.state.folder
        return folder

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/?token={TOKEN}"

    def lane(self, name: str) -> Lane:
        lane: Lane = getattr(self.app.state, name)
        return lane

    def run(self, action: Coroutine[Any, Any, None]) -> None:
        """Does something in the thread of the server."""
        asyncio.run_coroutine_threadsafe(action, self._loop).result(PATIENCE_SECONDS)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the answer to a request with the token; bytes are sent as they are."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        own = {"Authorization": f"Bearer {TOKEN}"} | {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, sent, {name: value for name, value in own.items() if value})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def told(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer that must be a success."""
        status, _, content = self.ask(method, path, body)
        assert status < 300, (status, content)
        return json.loads(content) if content else None

    def until(self, key: str, condition: Any) -> Any:
        """What is told of a session once a condition holds."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not condition(state := self.told("GET", f"/api/sessions/{key}")):
            assert time.monotonic() < end, state
            time.sleep(0.05)
        return state

    def opened(self, content: bytes, name: str) -> Any:
        """What is told of the session of a file, once it was read."""
        key = self.told("POST", f"/api/sessions?name={name}", content)["key"]
        return self.until(key, lambda state: state["reading"]["state"] not in ("waiting", "running"))
