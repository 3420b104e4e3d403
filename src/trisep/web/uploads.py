"""Bodies of requests: streamed to disk, or read as JSON, within limits. A refusal is an `HTTPException` with words."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from trisep.media.files import replacing
from trisep.media.records import parse_json

_MAX_JSON_BYTES = 1 << 16
_SPARE_BYTES = 1 << 29
"""What an upload leaves free on the disk."""
_STALLED_SECONDS = 60.0
"""How long an upload may send nothing."""


async def save_body(request: Request, path: Path, *, max_bytes: int) -> None:
    """Stream the body of a request into a file, which appears when it is complete.

    Raises HTTPException for a body that is empty, too large for the limit or the disk, or that stops coming.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal():
        _require_room(int(declared), max_bytes, path)
    num_bytes = 0
    with replacing(path) as temporary, open(temporary, "xb") as file:
        async for chunk in _chunks(request):
            num_bytes += len(chunk)
            _require_room(num_bytes, max_bytes, path, needed=len(chunk))
            await asyncio.to_thread(file.write, chunk)
        if num_bytes == 0:
            raise HTTPException(400, "The file is empty.")


async def read_json(request: Request) -> dict[str, Any]:
    """Read the body of a request as a JSON object; HTTPException for anything else."""
    body = b""
    async for chunk in _chunks(request):
        body += chunk
        if len(body) > _MAX_JSON_BYTES:
            raise HTTPException(413, "The request is too long.")
    try:
        content = parse_json(bytes(body) or b"{}")
    except ValueError as error:
        raise HTTPException(400, "The request is not JSON.") from error
    if not isinstance(content, dict):
        raise HTTPException(400, "The request is not a JSON object.")
    return content


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    """Yield the parts of a body; HTTPException when the sender stops or goes away."""
    parts = request.stream()
    while True:
        try:
            async with asyncio.timeout(_STALLED_SECONDS):
                chunk = await anext(parts, None)
        except TimeoutError as error:
            raise HTTPException(408, "The upload stopped coming.") from error
        except ClientDisconnect as error:
            raise HTTPException(400, "The upload was broken off.") from error
        if chunk is None:
            return
        yield chunk


def _require_room(num_bytes: int, max_bytes: int, path: Path, needed: int | None = None) -> None:
    """Raise HTTPException where so many bytes are too many, or `needed` (by default all) do not fit the disk."""
    if num_bytes > max_bytes:
        raise HTTPException(413, f"The file is larger than {max_bytes / 1e6:,.0f} MB, which is the limit here.")
    if shutil.disk_usage(path.parent).free < (num_bytes if needed is None else needed) + _SPARE_BYTES:
        raise HTTPException(507, "The disk of this computer is too full for the file.")
