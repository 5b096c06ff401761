"""A server with every way to sign in, a browser with an authenticator, and axe, for `/account`."""

import asyncio
import json
import shutil
from base64 import b32decode
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from time import time
from typing import Any, TypeVar

import asyncpg
import httpx2
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from plinth.security.totp import STEP_SECONDS, make_code
from plinth.testing.databases import TestServices
from plinth.testing.people import PASSWORD
from tests.clients.conftest import AT_ONCE, npm
from tests.support.browser import VirtualAuthenticator, Watched
from tests.support.command import find_free_port, running, start_plinth
from tests.support.environment import FINE_KEY
from tests.support.mail_server import Inbox

T = TypeVar("T")
AXE = "axe-core@4"
SIZES = {"wide": (1440, 900), "narrow": (390, 844)}
# The console reports each refusal of the API, such as `mfa_required`.
REFUSED = "Failed to load resource: the server responded with a status of 4"


@dataclass(frozen=True, slots=True)
class Site:
    origin: str
    database_url: str
    inbox: Inbox

    def register(self, name: str) -> str:
        """Register a user and return the e-mail."""
        account = {"email": f"{name}@example.com", "username": name, "password": PASSWORD}
        answer = httpx2.post(f"{self.origin}/api/v1/auth/register", json=account)
        assert answer.status_code == 201, answer.text
        return account["email"]

    def sign_in_elsewhere(self, email: str) -> None:
        """Sign in by the API, as another device."""
        credentials = {"email": email, "password": PASSWORD}
        headers = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0"}
        answer = httpx2.post(f"{self.origin}/api/v1/auth/login", json=credentials, headers=headers)
        assert answer.status_code == 200, answer.text

    def execute(self, statement: str, *values: object) -> None:
        self.fetch(statement, *values)

    def fetch(self, statement: str, *values: object) -> Any:
        """Return the first value."""

        async def run() -> Any:
            connection = await asyncpg.connect(self.database_url)
            value = await connection.fetchval(statement, *values)
            await connection.close()
            return value

        return in_thread(run)

    def let_time_pass(self, email: str) -> None:
        """Make the sessions of a user too old for changes, and the codes of the app unused."""
        of_user = "(SELECT id FROM users WHERE email = $1)"
        self.execute(
            "UPDATE sessions SET authenticated_at = now() - interval '1 hour'"
            f" WHERE user_id = {of_user}",
            email,
        )
        self.renew_codes(email)

    def renew_codes(self, email: str) -> None:
        self.execute(
            "UPDATE totp_secrets SET last_step = 0 WHERE factor_id IN (SELECT f.id FROM factors f"
            " JOIN users u ON u.id = f.user_id WHERE u.email = $1)",
            email,
        )


def make_app_code(secret: str) -> str:
    """Return the present code of an app with the secret that the page shows."""
    return make_code(b32decode(secret.replace(" ", "")), int(time()) // STEP_SECONDS)


def in_thread(function: Callable[[], Awaitable[T]]) -> T:
    """Run a coroutine beside the event loop of Playwright."""

    async def run() -> T:
        return await function()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, run()).result()


@contextmanager
def serving_site(
    services: TestServices, database_url: str, inbox: Inbox, folder: Path, **more: str
) -> Iterator[Site]:
    """Serve an application with every way to sign in.

    Args:
        more: settings.
    """
    port, log = find_free_port(), folder / "serve.log"
    origin = f"http://localhost:{port}"
    settings = {
        "DATABASE_URL": database_url,
        "REDIS_URL": services.redis_url,
        "CACHE_PREFIX": f"test-{services.run}-account-{port}",
        "SECRET_KEY": FINE_KEY,
        "DATA_DIR": str(folder),
        "PROJECT_NAME": "Kestrel",
        "AUTH_COOKIES": "true",
        "EMAIL_CODES": "true",
        "IMPERSONATION_MINUTES": "60",
        "API_ORIGIN": origin,
        "OIDC_REDIRECT_URLS": json.dumps([f"{origin}/account"]),
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(inbox.port),
        "SMTP_TLS": "none",
        "MAIL_POLL_SECONDS": "0.1",
        **more,
    }
    process = start_plinth("serve", "--port", str(port), log=log, **settings)
    with running(process, port, log):
        yield Site(origin, database_url, inbox)


@contextmanager
def visiting(browser: Browser, site: Site, *others: str) -> Iterator["Visit"]:
    """Open the page in a new browser profile.

    Args:
        others: origins that the page may lead to.
    """
    watched = Watched(browser, site.origin)
    visit = Visit(site, watched)
    visit.page.goto("/account")
    expect(visit.page.get_by_role("heading", name="Sign in")).to_be_visible()
    yield visit
    watched.close()
    watched.complaints = [it for it in watched.complaints if not it.startswith(REFUSED)]
    watched.strangers = [it for it in watched.strangers if not it.startswith(others or "-")]
    watched.check()


class Visit:
    """The page in a browser with an authenticator."""

    def __init__(self, site: Site, watched: Watched) -> None:
        self.site, self.watched, self.page = site, watched, watched.page
        self.authenticator = VirtualAuthenticator(self.page, touches=False)

    def card(self, heading: str) -> Locator:
        return self.page.locator("section").filter(
            has=self.page.get_by_role("heading", name=heading, exact=True)
        )

    def sign_in(self, email: str, password: str = PASSWORD) -> None:
        self.page.locator("#sign-in").get_by_label("E-mail").fill(email)
        self.page.locator("#sign-in").get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in", exact=True).click()

    def sign_out(self) -> None:
        self.page.get_by_role("banner").get_by_role("button", name="Sign out").click()
        expect(self.page.get_by_role("heading", name="Sign in")).to_be_visible()

    def expect_signed_in(self) -> None:
        expect(self.page.get_by_role("heading", name="Your account")).to_be_visible()

    def answer(self, label: str, value: str, button: str = "Continue") -> None:
        """Fill the field of the dialog."""
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_label(label, exact=True).fill(value)
        dialog.get_by_role("button", name=button).click()

    def inspect(self, name: str) -> None:
        """Check the accessibility and the width in both sizes, and take pictures."""
        for kind, (width, height) in SIZES.items():
            self.page.set_viewport_size({"width": width, "height": height})
            is_whole = not self.page.locator("dialog[open]").count()
            self.watched.picture(f"account-{name}-{kind}", whole=is_whole)
            scrolled = "document.documentElement.scrollWidth"
            assert self.page.evaluate(scrolled) <= width, f"{name} scrolls at {width} pixels"
            assert find_violations(self.page) == [], f"{name} at {width} pixels"
        self.page.set_viewport_size({"width": 1440, "height": 900})

    def show_dark(self, name: str) -> None:
        self.page.emulate_media(color_scheme="dark")
        self.inspect(name)
        self.page.emulate_media(color_scheme="light")


def find_violations(page: Page) -> list[str]:
    page.evaluate(read_axe())
    results = page.evaluate("axe.run({ reporter: 'v2' })")
    return [
        f"{it['id']}: {node['html']} {node['failureSummary']}"
        for it in results["violations"]
        for node in it["nodes"]
    ]


@cache
def read_axe() -> str:
    """Return the script of the npm package axe-core."""
    if not shutil.which("npm"):
        pytest.skip("there is no npm: apt-get install npm")
    with TemporaryDirectory() as name:
        folder = Path(name)
        installed = npm(folder, "install", "--no-package-lock", "--prefer-offline", *AT_ONCE, AXE)
        if installed.returncode and npm(folder, "ping", *AT_ONCE).returncode:
            pytest.skip(f"npm reaches no registry: {installed.stderr[-300:]}")
        assert installed.returncode == 0, installed.stderr
        return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()
