"""Passkeys in Chromium with its virtual authenticator, by the script of docs/how-to/passkeys.md."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from plinth.testing.people import PASSWORD
from tests.support.browser import VirtualAuthenticator, Watched
from tests.support.environment import ROOT
from tests.support.pages import read_blocks

HTML = """<!doctype html><title>Passkeys</title>
<input autocomplete="username webauthn" aria-label="E-mail">
<script type="module">window.passkeys = await import("/passkey.js")</script>"""
CALL = """async ([name, ...values]) => {
    try { return await passkeys[name](...values) } catch (error) {
        return { error: error.name, ...error }
    }
}"""
FETCH = """async ([path, body]) => {
    const headers = { "Content-Type": "application/json" }
    const options = { method: "POST", headers, body: JSON.stringify(body) }
    const answer = await fetch(`/api/v1${path}`, options)
    return answer.json()
}"""


class Device:
    """A page with the script of the documentation, and an authenticator without passkeys."""

    def __init__(self, page: Page, origin: str = "") -> None:
        self.page = page
        (script,) = (
            block.text
            for block in read_blocks(ROOT / "docs/how-to/passkeys.md")
            if block.kind == "js"
        )
        page.route("**/passkeys.html", lambda it: it.fulfill(body=HTML, content_type="text/html"))
        page.route(
            "**/passkey.js", lambda it: it.fulfill(body=script, content_type="text/javascript")
        )
        self.authenticator = VirtualAuthenticator(page, touches=True)
        page.goto(f"{origin}/passkeys.html")
        page.wait_for_function("window.passkeys")

    def call(self, name: str, *values: str) -> Any:
        return self.page.evaluate(CALL, [name, *values])

    def sign_in_by_password(self, email: str) -> Any:
        return self.page.evaluate(FETCH, ["/auth/login", {"email": email, "password": PASSWORD}])


@pytest.fixture
def watched(browser: Browser, origin: str) -> Iterator[Watched]:
    watched = Watched(browser, origin.replace("127.0.0.1", "localhost"))
    yield watched
    watched.close()
    assert watched.strangers == []


@pytest.fixture
def device(watched: Watched) -> Device:
    return Device(watched.page)


def test_a_passkey_signs_in_completes_and_steps_up(device: Device) -> None:
    token = device.sign_in_by_password("bob@example.com")["access_token"]
    added = device.call("addPasskey", token, "Laptop")
    assert (added["kind"], added["name"]) == ("passkey", "Laptop")
    (credential,) = device.authenticator.find_credentials()
    assert credential["isResidentCredential"]

    again = device.call("addPasskey", token, "Laptop")
    assert again["error"] == "InvalidStateError", "the browser refuses an excluded credential"

    signed_in = device.call("signIn")
    assert signed_in["access_token"], signed_in
    assert device.call("stepUp", signed_in["access_token"]) is None

    pending = device.sign_in_by_password("bob@example.com")
    assert (pending["code"], pending["methods"]) == ("mfa_required", ["passkey"])
    completed = device.call("completeSignIn", pending["challenge"])
    assert completed["access_token"], completed


def test_the_browser_offers_passkeys_in_the_form(device: Device) -> None:
    token = device.sign_in_by_password("carla@example.com")["access_token"]
    device.call("addPasskey", token, "Laptop")
    assert device.page.evaluate("PublicKeyCredential.isConditionalMediationAvailable()")
    signed_in = device.call("signIn", "conditional")
    assert signed_in["access_token"], signed_in


def test_an_authenticator_that_does_not_verify_its_user_does_not_sign_in_alone(
    device: Device,
) -> None:
    token = device.sign_in_by_password("emre@example.com")["access_token"]
    device.call("addPasskey", token, "Laptop")
    device.authenticator.verify_users(verifies=False)
    assert device.call("signIn")["error"] == "NotAllowedError"


def test_a_page_of_another_origin_is_refused(device: Device, watched: Watched) -> None:
    """The page is on 127.0.0.1, so the browser itself refuses the RP id."""
    token = device.sign_in_by_password("fatima@example.com")["access_token"]
    device.page.goto(f"{watched.origin.replace('localhost', '127.0.0.1')}/passkeys.html")
    device.page.wait_for_function("window.passkeys")
    watched.strangers.clear()
    assert device.call("addPasskey", token, "Laptop")["error"] == "SecurityError"
    watched.strangers.clear()
