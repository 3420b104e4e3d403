"""Who may ask the page, tried against an application that answers everything."""

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from trisep.web.guard import Guard

BEARER = {"Authorization": "Bearer right"}


async def answer(request: Request) -> PlainTextResponse:
    return PlainTextResponse("inside")


def client(token: str | None = "right") -> TestClient:
    guard = Middleware(Guard, token=token, host_names=("127.0.0.1", "localhost", "[::1]"))
    app = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])], middleware=[guard])
    return TestClient(app, base_url="http://127.0.0.1:8347", follow_redirects=False)


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer wrong"}, {"Cookie": "trisep-8347=wrong"}, {"Cookie": "trisep-1=right"}]
)
def test_nobody_without_the_token_gets_in(headers: dict[str, str]) -> None:
    for path in ("/", "/page/app.js", "/api/settings", "/?token=wrong", "/api/settings?token=right"):
        refused = client().get(path, headers=headers)
        assert refused.status_code == 403 and "printed" in refused.text


def test_the_printed_address_leaves_the_token_in_a_cookie_that_no_script_reads() -> None:
    browser = client()
    arrival = browser.get("/?token=right")
    assert (arrival.status_code, arrival.headers["location"]) == (303, "/")
    cookie = arrival.headers["set-cookie"].lower()
    assert cookie.startswith("trisep-8347=right;") and "httponly" in cookie and "samesite=strict" in cookie
    assert browser.get("/").text == "inside"


def test_cookies_of_others_on_this_computer_are_passed_over() -> None:
    for cookie in ("a/b=1; trisep-8347=right", "trisep-8347=right; c@d=2", "=;; trisep-8347=right"):
        assert client().get("/", headers={"Cookie": cookie}).text == "inside"
    assert client().get("/", headers={"Cookie": "a/b=1"}).status_code == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:8347", "evil.example:127.0.0.1", "", "127.0.0.2:8347"]
)
def test_another_name_for_this_server_is_refused(host: str) -> None:
    assert client().get("/", headers={**BEARER, "Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1:8347", "localhost:8347", "[::1]:8347", "LOCALHOST"])
def test_names_of_this_computer_are_taken(host: str) -> None:
    assert client().get("/", headers={**BEARER, "Host": host}).text == "inside"


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://127.0.0.1:1", "null", "http://127.0.0.1:8347.evil.example", "http://["]
)
def test_another_page_may_not_ask(origin: str) -> None:
    for method in ("GET", "POST"):
        refused = client().request(method, "/api", headers={**BEARER, "Origin": origin})
        assert (refused.status_code, refused.text) == (403, "Another page may not ask this server.")


def test_a_browser_names_its_origin_to_change_something() -> None:
    browser = client()
    browser.get("/?token=right")
    assert browser.post("/api").status_code == 403
    assert browser.post("/api", headers={"Origin": "http://127.0.0.1:8347"}).text == "inside"


def test_without_a_token_hosts_and_origins_count_all_the_same() -> None:
    assert client(None).get("/").text == "inside"
    assert client(None).get("/", headers={"Host": "evil.example"}).status_code == 421
    assert client(None).post("/", headers={"Origin": "http://evil.example"}).status_code == 403


def test_every_answer_forbids_what_the_page_does_not_need() -> None:
    for headers in (BEARER, {}, {**BEARER, "Host": "evil.example"}):
        given = client().get("/", headers=headers).headers
        policy = dict(part.split(" ", 1) for part in given["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'" and policy["script-src"] == policy["style-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
        assert given["x-content-type-options"] == "nosniff" and given["referrer-policy"] == "no-referrer"
        assert given["cache-control"] == "no-store"
