"""Who may ask, and the headers of every answer. Nothing here knows what is asked for.

Every request needs a Host that this server goes by (against DNS rebinding), an Origin of its own where the browser
sends one (against other pages), and the token: in the printed address, which leaves it in a cookie, or as a bearer
token.
"""

import hmac
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_READS = frozenset({"GET", "HEAD"})


class Guard:
    """Refuses requests before the application sees them; ASGI middleware."""

    def __init__(self, app: ASGIApp, *, token: str | None, host_names: Collection[str]) -> None:
        """`host_names` are written without a port; without a token everybody who reaches the server may ask."""
        self._app, self._token = app, token
        self._host_names = {name.lower() for name in host_names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with what is wrong."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            """Add the headers to the first message of an answer."""
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        answer = self._refusal(scope)
        await (answer or self._app)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        """Return the answer to a request that goes no further; None lets it pass."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if _host_name(host) not in self._host_names:
            return PlainTextResponse("This server does not go by that name.", 421)
        origin = headers.get("origin")
        is_write = scope["method"] not in _READS
        if origin is not None and _place_of(origin) != host.lower():
            return PlainTextResponse("Another page may not ask this server.", 403)
        if self._token is None:
            return None
        given = QueryParams(scope["query_string"]).get("token", "")
        if scope["path"] == "/" and _equal(given, self._token):
            arrival = RedirectResponse("/", 303)
            arrival.set_cookie(_cookie_name(host), self._token, httponly=True, samesite="strict")
            return arrival
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        if _equal(bearer, self._token):
            return None
        # Cookies of all ports of this computer come along, also those that no standard allows: they are passed over.
        cookie = cookie_parser(headers.get("cookie", "")).get(_cookie_name(host), "")
        if not _equal(cookie, self._token):
            return PlainTextResponse("Open the address that `trisep web` printed: it holds a key to this page.", 403)
        if is_write and origin is None:
            return PlainTextResponse("A request that changes something has to name its origin.", 403)
        return None


def _host_name(host: str) -> str:
    """Return the name in a Host header, without the port and in lower case."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).lower()


def _place_of(origin: str) -> str | None:
    """Return the host and port of an Origin header, in lower case; None for one that is no address."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:  # such as http://[
        return None


def _cookie_name(host: str) -> str:
    """Return the name of the cookie; browsers give cookies of one port to all others, so the port is part of it."""
    port = host.rpartition(":")[2]
    return f"trisep-{port if port.isdecimal() else 'web'}"


def _equal(given: str, expected: str) -> bool:
    """Compare without telling by the time how much is right."""
    return hmac.compare_digest(given.encode(), expected.encode())
