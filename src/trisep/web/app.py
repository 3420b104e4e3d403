"""The routes of the page: each reads a request, asks the sessions, and answers. What is computed is elsewhere.

GET  /                                         the page           GET  /page/…      its style and script
GET  /api/settings                             limits             POST /api/sample  a session of the sample
POST /api/sessions?name=…                      a session of the file in the body
GET, DELETE /api/sessions/KEY                  how it goes; the end of it
GET  /api/sessions/KEY/media, …/sound          the file, and its sound as floats (with ranges)
POST /api/sessions/KEY/stems                   ask for {"text"}, {"place"} or {"span": [from, to]}, in seconds
POST …/stems/picture?name=…, …/stems/sound?name=…   ask for what a photograph shows, or an example sounds like
PUT, DELETE /api/sessions/KEY/stems/STEM       ask for other words; remove
GET  …/stems/STEM/sound, …/spectrogram         the sound, as floats and as a picture
POST, GET …/stems/STEM/heat                    where it is in the picture
POST /api/sessions/KEY/exports                 {"kind": "zip" | "video" | "sound", "gains"}
GET, DELETE …/exports/EXPORT                   the file; cancel
"""

import asyncio
import math
import secrets
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from trisep.media.files import discard, move_into_place
from trisep.web.guard import Guard
from trisep.web.sessions import Export, Session, Sessions, Stem, heat_file, stem_file
from trisep.web.settings import LOOPBACK, WebSettings
from trisep.web.uploads import read_json, save_body

_PAGE = Path(__file__).parent / "page"
_MAX_WORDS = 200
_MAX_GAIN = 4.0
_MAX_EXAMPLE_BYTES = 64 << 20
_MEDIA_TYPES = {
    **dict.fromkeys((".mp4", ".m4v"), "video/mp4"),
    **{".mov": "video/quicktime", ".webm": "video/webm", ".mkv": "video/x-matroska"},
}
"""What a file of somebody else is said to be; anything else is a stream of bytes, never a page."""
_T = TypeVar("_T")


def build_app(settings: WebSettings, sessions: Sessions, *, token: str | None) -> Starlette:
    """Build the application; without a token everybody who reaches the server may ask."""
    app = Starlette(
        routes=[
            Route("/", _index),
            Route("/api/settings", _settings),
            Route("/api/sample", _sample, methods=["POST"]),
            Route("/api/sessions", _upload, methods=["POST"]),
            Route("/api/sessions/{key}", _session),
            Route("/api/sessions/{key}", _close, methods=["DELETE"]),
            Route("/api/sessions/{key}/media", _media),
            Route("/api/sessions/{key}/sound", _sound),
            Route("/api/sessions/{key}/stems", _ask, methods=["POST"]),
            Route("/api/sessions/{key}/stems/picture", _ask_by_picture, methods=["POST"]),
            Route("/api/sessions/{key}/stems/sound", _ask_by_sound, methods=["POST"]),
            Route("/api/sessions/{key}/stems/{stem}", _reword, methods=["PUT"]),
            Route("/api/sessions/{key}/stems/{stem}", _remove, methods=["DELETE"]),
            Route("/api/sessions/{key}/stems/{stem}/sound", _stem_sound),
            Route("/api/sessions/{key}/stems/{stem}/spectrogram", _spectrogram),
            Route("/api/sessions/{key}/stems/{stem}/heat", _find, methods=["POST"]),
            Route("/api/sessions/{key}/stems/{stem}/heat", _heat),
            Route("/api/sessions/{key}/exports", _export, methods=["POST"]),
            Route("/api/sessions/{key}/exports/{export}", _exported),
            Route("/api/sessions/{key}/exports/{export}", _cancel_export, methods=["DELETE"]),
            Mount("/page", StaticFiles(directory=_PAGE)),
        ],
        middleware=[Middleware(Guard, token=token, host_names=(*LOOPBACK, settings.host, *settings.allowed_hosts))],
        exception_handlers={HTTPException: _refused},
    )
    app.state.settings, app.state.sessions = settings, sessions
    return app


async def _refused(request: Request, error: Exception) -> Response:
    """Answer with what is wrong, in words."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code)


async def _index(request: Request) -> Response:
    return FileResponse(_PAGE / "index.html")


async def _settings(request: Request) -> Response:
    settings: WebSettings = request.app.state.settings
    return JSONResponse(
        {
            "demo": settings.demo,
            "sample": settings.sample is not None,
            "max_bytes": settings.max_upload_bytes,
            "max_seconds": settings.max_seconds,
            "max_stems": settings.max_stems,
        }
    )


async def _upload(request: Request) -> Response:
    settings: WebSettings = request.app.state.settings
    if settings.demo:
        raise HTTPException(403, "This is a demonstration: it takes the sample alone.")
    return await _begin(
        request, _title(request), lambda path: save_body(request, path, max_bytes=settings.max_upload_bytes)
    )


async def _sample(request: Request) -> Response:
    settings: WebSettings = request.app.state.settings
    sample = settings.sample
    if sample is None:
        raise HTTPException(404, "There is no sample in this installation.")
    return await _begin(request, sample.name, lambda path: asyncio.to_thread(shutil.copyfile, sample, path))


async def _begin(request: Request, title: str, write: Callable[[Path], Awaitable[object]]) -> Response:
    """Open a session, write its file and have it read; a session whose file cannot be written is closed again."""
    sessions = _sessions(request)
    session = sessions.open(title)
    try:
        await write(session.path)
        sessions.start_reading(session)
    except BaseException:
        await sessions.close(session)
        raise
    return JSONResponse(sessions.entry(session), 201)


async def _session(request: Request) -> Response:
    return _state(request)


async def _close(request: Request) -> Response:
    await _sessions(request).close(_its_session(request))
    return Response(status_code=204)


async def _media(request: Request) -> Response:
    path = _its_session(request).path
    return FileResponse(path, media_type=_MEDIA_TYPES.get(path.suffix, "application/octet-stream"))


async def _sound(request: Request) -> Response:
    session = _its_session(request)
    if session.reading is None or session.reading.state != "done":
        raise HTTPException(409, "The file is not ready yet.")
    return FileResponse(session.sound, media_type="audio/wav")


async def _ask(request: Request) -> Response:
    session, body = _its_session(request), await read_json(request)
    if "place" in body:
        place = _place(body["place"])
        kind = "box" if place["width"] > 0 else "point"
        _sessions(request).add_stem(session, f"{kind} at {place['time_seconds']:.1f} s", {"place": place})
    elif "span" in body:
        begin, end = _span(body["span"])
        _sessions(request).add_stem(session, f"{begin:.1f}-{end:.1f} s", {"span": [begin, end]})
    else:
        words = _words(body)
        _sessions(request).add_stem(session, words, {"text": words})
    return _state(request, 201)


async def _ask_by_picture(request: Request) -> Response:
    return await _ask_by_file(request, "image")


async def _ask_by_sound(request: Request) -> Response:
    return await _ask_by_file(request, "sound")


async def _ask_by_file(request: Request, kind: str) -> Response:
    """Ask by a file in the body, a picture or a sound."""
    session, name = _its_session(request), _title(request)
    incoming = session.folder / f"{secrets.token_hex(4)}.part"
    await save_body(request, incoming, max_bytes=_MAX_EXAMPLE_BYTES)
    try:
        stem = _sessions(request).add_stem(session, Path(name).stem or kind, {kind: ""})
        example = stem.folder / "query"
        move_into_place(incoming, example)
    finally:
        discard(incoming)
    stem.query[kind] = str(example)
    return _state(request, 201)


async def _reword(request: Request) -> Response:
    _sessions(request).reword(_its_session(request), _its_stem(request), _words(await read_json(request)))
    return _state(request)


async def _remove(request: Request) -> Response:
    _sessions(request).remove_stem(_its_session(request), _its_stem(request))
    return _state(request)


async def _stem_sound(request: Request) -> Response:
    return FileResponse(stem_file(_finished(_its_stem(request))), media_type="audio/wav")


async def _spectrogram(request: Request) -> Response:
    stem = _finished(_its_stem(request))
    return FileResponse(await _sessions(request).spectrogram(_its_session(request), stem), media_type="image/png")


async def _find(request: Request) -> Response:
    _sessions(request).find_in_picture(_its_session(request), _finished(_its_stem(request)))
    return _state(request)


async def _heat(request: Request) -> Response:
    stem = _its_stem(request)
    if stem.heat is None or stem.heat.state != "done":
        raise HTTPException(409, "The heat map is not ready yet.")
    return FileResponse(heat_file(stem), media_type="application/json")


async def _export(request: Request) -> Response:
    session, body = _its_session(request), await read_json(request)
    kind, gains = body.get("kind"), body.get("gains", {})
    if kind not in ("zip", "rest", "video", "sound") or not isinstance(gains, dict):
        raise HTTPException(400, "An export is a zip, the rest, a video or a sound.")
    if not all(_is_number(gain) and 0 <= gain <= _MAX_GAIN for gain in gains.values()):
        raise HTTPException(400, f"Gains are numbers from 0 to {_MAX_GAIN:g}.")
    if not session.finished_stems:
        raise HTTPException(409, "There is nothing to save yet: ask for a sound first.")
    _sessions(request).add_export(session, kind, gains)
    return _state(request, 201)


async def _exported(request: Request) -> Response:
    session, export = _its_session(request), _its_export(request)
    if export.job.state != "done":
        raise HTTPException(409, "The file is not ready yet.")
    path = session.folder / "exports" / str(export.job.result["file"])
    name = quote(str(export.job.result["title"]), safe="")
    headers = {"Content-Disposition": f"attachment; filename*=utf-8''{name}"}
    return FileResponse(path, media_type="application/octet-stream", headers=headers)


async def _cancel_export(request: Request) -> Response:
    _sessions(request).remove_export(_its_session(request), _its_export(request))
    return _state(request)


def _sessions(request: Request) -> Sessions:
    sessions: Sessions = request.app.state.sessions
    return sessions


def _its_session(request: Request) -> Session:
    return _sessions(request).get(request.path_params["key"])


def _its_stem(request: Request) -> Stem:
    return _found(_its_session(request).stems, request.path_params["stem"])


def _its_export(request: Request) -> Export:
    return _found(_its_session(request).exports, request.path_params["export"])


def _found(entries: dict[str, _T], key: str) -> _T:
    """Return an entry; HTTPException 404 where there is none."""
    if key not in entries:
        raise HTTPException(404, "That is no longer here.")
    return entries[key]


def _finished(stem: Stem) -> Stem:
    """Return a stem that can be heard; HTTPException 409 for any other."""
    if stem.job.state != "done":
        raise HTTPException(409, "The sound is not ready yet.")
    return stem


def _state(request: Request, status: int = 200) -> Response:
    """Answer with how the session goes."""
    return JSONResponse(_sessions(request).entry(_its_session(request)), status)


def _title(request: Request) -> str:
    """Return the name of the file that is sent, without folders and control characters."""
    name = request.query_params.get("name", "").replace("\\", "/").rpartition("/")[2]
    return "".join(letter for letter in name if letter.isprintable())[:_MAX_WORDS].strip() or "untitled"


def _words(body: dict[str, Any]) -> str:
    """Return the words of a request; HTTPException where there are none or too many."""
    words = body.get("text")
    if not isinstance(words, str) or not any(letter.isalnum() for letter in words):
        raise HTTPException(400, 'Name a sound in words, for example "violin".')
    if len(words) > _MAX_WORDS:
        raise HTTPException(400, f"Use at most {_MAX_WORDS} letters.")
    return " ".join(words.split())


def _place(place: Any) -> dict[str, float]:
    """Return a point or a box as shares of the picture, and its time; HTTPException for anything else."""
    names = ("x", "y", "width", "height", "time_seconds")
    if not isinstance(place, dict) or not all(_is_number(place.get(name)) for name in names):
        raise HTTPException(400, "A place is x, y, width, height and time_seconds.")
    return {name: float(place[name]) for name in names}


def _span(span: Any) -> tuple[float, float]:
    """Return a span in seconds; HTTPException for anything else."""
    if not isinstance(span, list) or len(span) != 2 or not all(map(_is_number, span)) or not 0 <= span[0] < span[1]:
        raise HTTPException(400, "A span is two times in seconds, the first before the second.")
    return float(span[0]), float(span[1])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
