"""Starts the page: its folder, its two processes and its server. At the end every file is removed."""

import asyncio
import contextlib
import errno
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from trisep.errors import ConfigError
from trisep.web.app import build_app
from trisep.web.lane import Lane
from trisep.web.sessions import Sessions
from trisep.web.settings import WebSettings

_FOLDER_PREFIX = "trisep-web-"
_SWEEP_SECONDS = 20.0


def serve(settings: WebSettings, *, on_ready: Callable[[str], None] = print) -> None:
    """Serve the page until the process is interrupted; `on_ready` is told its address.

    Raises ConfigError when the model cannot be loaded, or the address is taken.
    """
    asyncio.run(_serve(settings, on_ready))


@asynccontextmanager
async def application(settings: WebSettings, *, token: str | None) -> AsyncIterator[Starlette]:
    """Run the processes of the page, yield its application, and leave no file and no process behind."""
    remove_abandoned_folders()
    folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDER_PREFIX}{os.getpid()}-"))
    worker = {"model": settings.model, "device": settings.device}
    network = Lane({**worker, "loads_model": True}, max_waiting=settings.max_waiting)
    media = Lane({**worker, "loads_model": False}, max_waiting=settings.max_waiting)
    sessions = Sessions(folder, settings, network=network, media=media)
    sweeper = None
    try:
        await asyncio.gather(network.start(), media.start())
        sweeper = asyncio.create_task(_close_unused(sessions))
        app = build_app(settings, sessions, token=token)
        app.state.network, app.state.media, app.state.folder = network, media, folder
        yield app
    finally:
        if sweeper is not None:
            sweeper.cancel()
        # Ctrl+C cancels this task, and what it awaits; nothing may be left behind all the same.
        stopping = asyncio.gather(network.stop(), media.stop())
        try:
            await asyncio.shield(stopping)
        except asyncio.CancelledError:
            await stopping
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned_folders() -> None:
    """Remove the folders of servers that were killed before they could."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER_PREFIX}*-*"):
        number = folder.name.removeprefix(_FOLDER_PREFIX).partition("-")[0]
        if number.isdecimal() and not _is_running(int(number)):
            shutil.rmtree(folder, ignore_errors=True)


async def _serve(settings: WebSettings, on_ready: Callable[[str], None]) -> None:
    token = None if settings.demo else secrets.token_urlsafe(24)
    with _listener(settings) as listener:
        await _serve_at(listener, settings, token, on_ready)


def _listener(settings: WebSettings) -> socket.socket:
    """Take the address, before the model is loaded; ConfigError with the reason where it cannot be had."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"--host: {settings.host} is no address of this computer; try 127.0.0.1") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise ConfigError(f"--host: {settings.host} is no address of this computer; try 127.0.0.1") from error
        reason = "taken" if error.errno == errno.EADDRINUSE else f"not to be had ({error.strerror})"
        raise ConfigError(f"port {settings.port} of {settings.host} is {reason}; choose another --port") from error
    return listener


async def _serve_at(
    listener: socket.socket, settings: WebSettings, token: str | None, on_ready: Callable[[str], None]
) -> None:
    async with application(settings, token=token) as app:
        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            timeout_graceful_shutdown=2,
        )
        port = listener.getsockname()[1]
        name = f"[{settings.host}]" if ":" in settings.host else settings.host
        address = f"http://{name}:{port}/"
        on_ready(address if token is None else f"{address}?token={token}")
        sys.stdout.flush()
        server = uvicorn.Server(config)
        with contextlib.suppress(KeyboardInterrupt):
            await server.serve(sockets=[listener])


async def _close_unused(sessions: Sessions) -> None:
    """Close what is no longer used, for ever."""
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        await sessions.close_unused()


def _is_running(process_id: int) -> bool:
    """Tell whether there is a process of that number."""
    try:
        os.kill(process_id, 0)  # signal 0 only asks
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
