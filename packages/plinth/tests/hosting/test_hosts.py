"""`Host` is input of the client: ALLOWED_HOSTS limits it, and redirects do not contain it."""

import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient
from starlette.types import Receive, Scope, Send

from plinth.config import SettingsError, load_settings
from plinth.config.urls.public_url import check_host, check_root_path
from plinth.http.hosting import AllowedHostsMiddleware, RootPathMiddleware
from plinth.testing.asgi import send
from tests.support.environment import ROOT, run_python

HOSTS = ["api.example.com", ".example.org", "[2001:db8::5]", "10.0.0.1"]
PROBE = "/api/v1/health/live"


async def answer_ok(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


async def status_for(host: str | None, path: str = "/") -> int:
    headers = [] if host is None else [(b"host", host.encode("latin-1"))]
    scope = {"type": "http", "method": "GET", "path": path, "headers": headers}
    statuses = []

    async def note(message: Scope) -> None:
        statuses.append(message.get("status"))

    async def receive() -> Scope:
        return {"type": "http.request"}

    await AllowedHostsMiddleware(answer_ok, HOSTS, [PROBE])(scope, receive, note)
    status = statuses[0]
    assert isinstance(status, int)
    return status


@pytest.mark.parametrize(
    "host",
    [
        "api.example.com",
        "API.Example.COM",
        "api.example.com:8000",
        "api.example.com.",
        "api.example.com.:443",
        "example.org",
        "a.b.example.org:80",
        "[2001:db8::5]:8000",
        "[2001:DB8::5]",
        "10.0.0.1",
    ],
)
async def test_allowed_host_is_accepted(host: str) -> None:
    assert await status_for(host) == 200


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "evil.example",
        "example.com",
        "x.api.example.com",
        "api.example.com.evil.example",
        "evilexample.org",
        "evil.example:api.example.com",
        "api.example.com:x",
        "api.example.com@evil.example",
        "evil.example/api.example.com",
        "api.example.com evil.example",
        "api.example.com,evil.example",
        "evil.example\\.example.org",
        "evil.example#.example.org",
        "evil.example?.example.org",
        ".example.org:80:80",
        "[2001:db8::6]",
        "2001:db8::5",
        "api.example.com\xa0",
        "10.0.0.2",
        "x" * 300 + ".example.org",
    ],
)
async def test_other_host_is_refused(host: str | None) -> None:
    assert await status_for(host) == 400
    assert await status_for(host, PROBE) == 200, "Kubernetes probes by the pod's address"


@pytest.mark.parametrize(
    "hosts", [(b"api.example.com", b"evil.example"), (b"api.example.com",) * 2]
)
async def test_request_with_two_hosts_is_refused(hosts: tuple[bytes, bytes]) -> None:
    """With two `Host` headers, a proxy may use the other one (RFC 9112, section 3.2)."""
    answer = await send(
        AllowedHostsMiddleware(answer_ok, HOSTS), "GET", "/", [(b"host", it) for it in hosts]
    )
    assert answer.status == 400


async def test_a_websocket_of_another_host_is_closed() -> None:
    sent: list[Scope] = []

    async def note(message: Scope) -> None:
        sent.append(message)

    async def receive() -> Scope:
        return {"type": "websocket.connect"}

    for host in (b"evil.example", b"api.example.com"):
        scope = {"type": "websocket", "path": "/", "headers": [(b"host", host)]}
        await AllowedHostsMiddleware(answer_ok, HOSTS)(scope, receive, note)
    assert sent[0] == {"type": "websocket.close", "code": 1008}
    assert [it["type"] for it in sent[1:]] == ["http.response.start", "http.response.body"]


def test_application_applies_allowed_hosts() -> None:
    code = """
import asyncio
from app.main import app
from plinth.testing.asgi import send
for host in (b"api.example.com", b"evil.example"):
    print(asyncio.run(send(app, "GET", "/", [(b"host", host)])).status)
"""
    done = run_python(code, cwd=ROOT, ALLOWED_HOSTS='["api.example.com"]')
    assert done.stdout.split() == ["200", "400"], done.stderr


async def test_a_refusal_is_a_problem_document(app: FastAPI) -> None:
    answer = await send(
        AllowedHostsMiddleware(app, HOSTS), "GET", "/", [(b"host", b"evil.example")]
    )

    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert b'"host_not_allowed"' in answer.body
    assert b"evil" not in answer.body


@pytest.mark.parametrize(
    "path",
    ["/admin", "/admin/", "/admin/user/list", "/admin/login?next=http://evil.example/", "/docs/"],
)
async def test_no_redirect_repeats_the_host(app: FastAPI, path: str) -> None:
    transport = ASGITransport(app)
    async with AsyncClient(transport=transport, base_url="http://evil.example") as client:
        answer = await client.get(path)
    assert "evil" not in answer.headers.get("location", "").partition("?")[0]
    assert answer.status_code < 500


async def test_redirect_with_two_slashes_stays_on_this_host(app: FastAPI) -> None:
    from plinth.admin.middleware import _without_host  # noqa: PLC0415

    scope = {"scheme": "http", "headers": [(b"host", b"here.example")]}
    for path in ("//evil.example", "/\\evil.example"):
        assert _without_host(f"http://here.example{path}", scope) == f"http://here.example{path}"
    assert _without_host("http://here.example/admin/", scope) == "/admin/"
    assert _without_host("http://here.example.evil/x", scope) == "http://here.example.evil/x"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/x", "/svc/x"),
        ("/svc/x", "/svc/x"),
        ("/svc", "/svc"),
        ("/svcx", "/svc/svcx"),
        ("/", "/svc/"),
    ],
)
async def test_root_path_is_added_once(path: str, found: str) -> None:
    answer = await send(RootPathMiddleware(answer_ok, "/svc"), "GET", path)

    assert answer.body.decode() == found


@pytest.mark.parametrize("host", ["*", "*.example.com", "https://a.b", "a.b:80", "a/b", "", "a b"])
def test_invalid_allowed_host_is_refused_at_start(host: str) -> None:
    with pytest.raises(ValueError, match="is not a host name"):
        check_host(host)


@pytest.mark.parametrize("path", ["api", "/a//b", "/a?b", "/a/../b", "/ä", "https://x/y", "/."])
def test_invalid_root_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="begins with a slash"):
        check_root_path(path)


def test_root_path_that_shadows_own_paths_is_refused() -> None:
    for root in ("/api", "/api/v1", "/docs", "/admin/"):
        with pytest.raises(SettingsError, match="choose another ROOT_PATH"):
            load_settings(_env_file=None, ROOT_PATH=root)
    assert load_settings(_env_file=None, ROOT_PATH="/api", API_V1_PREFIX="/v1").ROOT_PATH == "/api"
    assert load_settings(_env_file=None, ROOT_PATH="/ap").ROOT_PATH == "/ap"


def test_allowed_hosts_are_lower_cased() -> None:
    found = load_settings(_env_file=None, ALLOWED_HOSTS=["API.example.com."])
    assert found.ALLOWED_HOSTS == ["api.example.com"]
