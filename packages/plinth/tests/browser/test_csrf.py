"""Sessions in cookies in a browser: hostile pages of other origins, and the front end."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from plinth.testing.databases import TestServices
from plinth.testing.people import PASSWORD
from tests.browser.conftest import SUPERUSER
from tests.support.command import find_free_port, running
from tests.support.environment import FINE_KEY, ROOT, bare_environment

PERSON = "bob@example.com"
SCRIPTS = Path(__file__).with_name("csrf.js")


class Blank(BaseHTTPRequestHandler):
    """An empty page that may do anything."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>page</title><body></body>")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
        pass


@contextmanager
def serving_blank_pages() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Blank)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@dataclass(frozen=True, slots=True)
class Ports:
    """
    Attributes:
        front_end: of a page whose origin is in BACKEND_CORS_ORIGINS.
        hostile: of a page whose origin is not.
    """

    api: int
    front_end: int
    hostile: int


@pytest.fixture(scope="module")
def ports(
    services: TestServices, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ports]:
    with serving_blank_pages() as front_end, serving_blank_pages() as hostile:
        log = tmp_path_factory.mktemp("site") / "serve.log"
        settings = {
            "DATABASE_URL": database_url,
            "REDIS_URL": services.redis_url,
            "CACHE_PREFIX": f"test-{services.run}-csrf",
            "SECRET_KEY": FINE_KEY,
            "MAIL_WORKER": "false",
            "DATA_DIR": str(log.parent),
            "AUTH_COOKIES": "true",
            "BACKEND_CORS_ORIGINS": f'["http://127.0.0.1:{front_end}"]',
        }
        port = find_free_port()
        process = start(port, log, settings)
        with running(process, port, log):
            yield Ports(port, front_end, hostile)


def start(port: int, log: Path, settings: dict[str, str]) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "tests.browser.site:app", "--port", str(port)],
            cwd=ROOT,
            env=bare_environment() | settings,
            stdout=output,
            stderr=output,
        )


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context()
    context.set_default_timeout(10_000)
    yield context
    context.close()


def open_page(context: BrowserContext, url: str, api: str) -> Page:
    page = context.new_page()
    page.add_init_script(f"window.api = '{api}/api/v1'")
    page.add_init_script(path=SCRIPTS)
    page.goto(url)
    page.wait_for_load_state("networkidle")
    return page


def find_session(context: BrowserContext) -> dict[str, str]:
    cookies = {it["name"]: it for it in context.cookies()}
    names = ("plinth_access", "plinth_refresh")
    return {name: cookies[name]["value"] for name in names if name in cookies}


def test_front_end_of_the_same_origin(context: BrowserContext, ports: Ports) -> None:
    api = f"http://127.0.0.1:{ports.api}"
    use_front_end(context, open_page(context, f"{api}/docs", api))


def test_front_end_on_a_listed_port(context: BrowserContext, ports: Ports) -> None:
    api = f"http://127.0.0.1:{ports.api}"
    use_front_end(context, open_page(context, f"http://127.0.0.1:{ports.front_end}/", api))


def use_front_end(context: BrowserContext, page: Page) -> None:
    assert page.evaluate("signIn", [PERSON, PASSWORD]) == 204
    assert "plinth" not in page.evaluate("document.cookie")
    assert page.evaluate("request", ["POST", "/own/private"])["code"] == "invalid_csrf_token"
    page.evaluate("getCsrfToken")
    assert page.evaluate("request", ["PATCH", "/users/me", {"full_name": "Bob"}])["status"] == 200
    context.clear_cookies(name="plinth_access")  # as when it expires
    assert page.evaluate("request", ["GET", "/users/me"])["status"] == 401
    assert page.evaluate("refresh") == 204
    assert page.evaluate("request", ["PATCH", "/users/me", {"full_name": ""}])["status"] == 200
    page.evaluate("shakeHands")
    assert page.evaluate("read", "/own/calls")["handshakes"][-1] == "accepted"
    assert page.evaluate("request", ["POST", "/auth/logout"])["status"] == 204
    assert find_session(context) == {}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"], ids=["same site", "cross site"])
def test_hostile_page_changes_nothing(context: BrowserContext, ports: Ports, host: str) -> None:
    """The hostile page is on `127.0.0.1`, and the API on the same site or on another one."""
    api = f"http://{host}:{ports.api}"
    front_end = open_page(context, f"{api}/docs", api)
    assert front_end.evaluate("signIn", [PERSON, PASSWORD]) == 204
    before = find_session(context), front_end.evaluate("read", "/own/calls")["calls"]
    me = front_end.evaluate("read", "/users/me")

    hostile = open_page(context, f"http://127.0.0.1:{ports.hostile}/", api)
    outcomes = hostile.evaluate("attackByFetch", [SUPERUSER, PASSWORD])
    assert {name: it for name, it in outcomes.items() if it not in ("failed", "opaque")} == {}
    assert hostile.evaluate("attackByFrames", [SUPERUSER, PASSWORD]) > 10
    hostile.evaluate("shakeHands")
    handshakes = front_end.evaluate("read", "/own/calls")["handshakes"]
    assert handshakes[-1] == ("cross_site" if host == "127.0.0.1" else "anonymous")
    for path in ("/own/private", "/own/optional", "/auth/logout", "/auth/logout-all"):
        page = open_page(context, f"http://127.0.0.1:{ports.hostile}/", api)
        with page.expect_navigation(url=f"{api}/api/v1{path}"):
            page.evaluate("navigateByForm", path)
        page.close()

    after = find_session(context), front_end.evaluate("read", "/own/calls")["calls"]
    assert after == before
    assert front_end.evaluate("read", "/users/me") == me
