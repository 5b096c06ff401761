"""A real browser, and a check for console errors and requests to other hosts."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from tests.support.environment import ROOT

SCREENSHOTS = ROOT / ".screenshots"
SIZE: ViewportSize = {"width": 1280, "height": 860}
# The browser must contact no host but ours, also not for its updates.
QUIET = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]


def find_chromium() -> str | None:
    return os.environ.get("CHROMIUM") or shutil.which("chromium")


@contextmanager
def chromium(program: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=QUIET)
        yield browser
        browser.close()


class VirtualAuthenticator:
    """An authenticator of the browser, without passkeys.

    Args:
        touches: answer the requests of the page, as the finger of the user does.
    """

    def __init__(self, page: Page, *, touches: bool) -> None:
        options = {
            "protocol": "ctap2",
            "ctap2Version": "ctap2_1",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": touches,
        }
        self._cdp = page.context.new_cdp_session(page)
        self._cdp.send("WebAuthn.enable")
        added = self._cdp.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        self._id = added["authenticatorId"]

    def touch(self, *, touches: bool) -> None:
        values = {"authenticatorId": self._id, "enabled": touches}
        self._cdp.send("WebAuthn.setAutomaticPresenceSimulation", values)

    def verify_users(self, *, verifies: bool) -> None:
        values = {"authenticatorId": self._id, "isUserVerified": verifies}
        self._cdp.send("WebAuthn.setUserVerified", values)

    def find_credentials(self) -> list[dict[str, Any]]:
        found = self._cdp.send("WebAuthn.getCredentials", {"authenticatorId": self._id})
        return list(found["credentials"])


class Watched:
    """A page in a new browser profile.

    Attributes:
        complaints: errors and warnings of the console.
        strangers: requested URLs of other hosts.
    """

    def __init__(self, browser: Browser, origin: str) -> None:
        self.origin = origin
        self.complaints: list[str] = []
        self.strangers: list[str] = []
        self._context = browser.new_context(viewport=SIZE, base_url=origin)
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(10_000)
        self.page.on(
            "console",
            lambda line: (
                self.complaints.append(line.text) if line.type in ("error", "warning") else None
            ),
        )
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._note(request.url))

    def _note(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and not url.startswith(self.origin):
            self.strangers.append(url)

    def picture(self, name: str, *, whole: bool = True) -> Path:
        SCREENSHOTS.mkdir(exist_ok=True)
        file = SCREENSHOTS / f"{name}.png"
        self.page.screenshot(path=file, full_page=whole)
        return file

    def check(self) -> None:
        assert self.complaints == [], f"the console has errors: {self.complaints}"
        assert self.strangers == [], f"the page requested other hosts: {self.strangers}"

    def close(self) -> None:
        self._context.close()
