"""`/account` in a browser: the links in mails, and a forgotten password."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from plinth.testing.databases import TestServices
from plinth.testing.people import PASSWORD
from tests.browser.account import Site, Visit, in_thread, serving_site, visiting
from tests.support.mail_server import serving_mail

ROLE = """
SELECT role FROM memberships WHERE user_id = (SELECT id FROM users WHERE email = $1)
"""
NEW_PASSWORD = "Heron-At-The-Weir-9"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("account")


@pytest.fixture(scope="module")
def site(services: TestServices, database_url: str, folder: Path) -> Iterator[Site]:
    with serving_mail() as inbox, serving_site(services, database_url, inbox, folder) as site:
        yield site


@pytest.fixture
def visit(browser: Browser, site: Site) -> Iterator[Visit]:
    with visiting(browser, site) as visit:
        yield visit


def read_link(site: Site, email: str, subject: str) -> str:
    mail = in_thread(lambda: site.inbox.next(email, subject))
    body = mail.get_body(("plain",))
    assert body
    (link,) = re.findall(r"http\S+", body.get_content())
    assert link.startswith(f"{site.origin}/account/"), link
    return str(link)


def invite(site: Site, email: str, name: str) -> str:
    """Found an organization, invite an address and return the link of the mail."""
    slug = re.sub("[^a-z]+", "-", name.lower())
    owner = site.register(f"owner_{slug.replace('-', '_')}")
    site.execute("UPDATE users SET is_verified = true WHERE email = $1", owner)
    with httpx2.Client(base_url=f"{site.origin}/api/v1/") as client:
        session = client.post("auth/login", json={"email": owner, "password": PASSWORD})
        client.headers["Authorization"] = f"Bearer {session.json()['access_token']}"
        founded = client.post("organizations", json={"name": name, "slug": slug})
        assert founded.status_code == 201, founded.text
        body = {"email": email, "role": "member"}
        invited = client.post(f"organizations/{slug}/invitations", json=body)
        assert invited.status_code == 201, invited.text
    return read_link(site, email, "An invitation")


def open_link(page: Page, link: str, heading: str) -> None:
    """Open a link, which leaves no token in the address bar and is not used up by that."""
    for _ in range(2):
        page.goto("about:blank")
        page.goto(link)
        expect(page.get_by_role("heading", name=heading)).to_be_focused()
        assert page.url == f"{link.partition('/account/')[0]}/account"


def test_a_user_sets_a_forgotten_password_by_keyboard(visit: Visit, site: Site) -> None:
    page, email = visit.page, site.register("pauline")
    keyboard = page.keyboard
    page.get_by_role("button", name="Forgot your password?").press("Enter")
    expect(page.get_by_role("heading", name="Set a new password")).to_be_focused()
    visit.inspect("forgotten")
    keyboard.press("Tab")
    keyboard.type(email)
    keyboard.press("Enter")
    forgotten = page.locator("#forgotten")
    expect(forgotten.get_by_role("alert")).to_contain_text("a mail is on its way")

    link = read_link(site, email, "Set a new password")
    open_link(page, link, "Set a new password")
    visit.inspect("new-password")
    keyboard.press("Tab")
    keyboard.type("short")
    keyboard.press("Enter")
    expect(page.locator("#new-password").get_by_role("alert")).to_contain_text("password: ")
    page.get_by_label("New password").filter(visible=True).fill(NEW_PASSWORD)
    keyboard.press("Enter")
    alert = page.locator("#sign-in").get_by_role("alert")
    expect(alert).to_have_text("The password was set. Sign in with it.")
    visit.sign_in(email, NEW_PASSWORD)
    visit.expect_signed_in()
    visit.sign_out()

    open_link(page, link, "Set a new password")
    page.get_by_label("New password").filter(visible=True).fill(NEW_PASSWORD)
    page.get_by_role("button", name="Set the password").click()
    expect(forgotten.get_by_role("alert")).to_contain_text("Request another link")


def test_a_user_confirms_the_address(visit: Visit, site: Site) -> None:
    page, email = visit.page, site.register("quirin")
    link = read_link(site, email, "Confirm your e-mail")
    open_link(page, link, "Confirm your e-mail")
    visit.inspect("confirmation")
    page.get_by_role("button", name="Confirm").press("Enter")
    alert = page.locator("#sign-in").get_by_role("alert")
    expect(alert).to_contain_text("Sign in to the account that this address belongs to")
    visit.sign_in(email)
    visit.expect_signed_in()
    profile = visit.card("Profile")
    expect(profile.get_by_role("alert")).to_have_text("The address is confirmed.")
    expect(profile.get_by_text("Verified", exact=True)).to_be_visible()


def test_a_signed_in_user_confirms_the_address(visit: Visit, site: Site) -> None:
    page, email = visit.page, site.register("ruth")
    visit.sign_in(email)
    visit.expect_signed_in()
    link = read_link(site, email, "Confirm your e-mail")
    page.context.clear_cookies(name="plinth_access")  # as when it expires
    page.context.clear_cookies(name="plinth_device")
    open_link(page, link, "Confirm your e-mail")
    page.get_by_role("button", name="Confirm").click()
    visit.expect_signed_in()
    profile = visit.card("Profile")
    expect(profile.get_by_role("alert")).to_have_text("The address is confirmed.")

    open_link(page, link, "Confirm your e-mail")
    page.get_by_role("button", name="Confirm").click()
    alert = page.locator("#confirmation").get_by_role("alert")
    expect(alert).to_have_text("Invalid or expired token")


def test_a_link_has_the_code_to_sign_in(visit: Visit, site: Site, browser: Browser) -> None:
    page, email = visit.page, site.register("selma")
    page.locator("#sign-in").get_by_label("E-mail").fill(email)
    page.get_by_role("button", name="Send a code by e-mail").click()
    expect(page.get_by_role("heading", name="Check your mail")).to_be_visible()
    link = read_link(site, email, "Your code")

    with visiting(browser, site) as other:
        other.page.goto("about:blank")
        other.page.goto(link)
        alert = other.page.locator("#sign-in").get_by_role("alert")
        expect(alert).to_contain_text("in which you requested the code")

    open_link(page, link, "Check your mail")
    visit.inspect("email-code-link")
    page.get_by_role("button", name="Sign in", exact=True).click()
    visit.expect_signed_in()
    assert page.evaluate("localStorage.length") == 0


def test_an_invited_user_signs_in_and_joins(visit: Visit, site: Site) -> None:
    page, email = visit.page, site.register("xaver")
    site.execute("UPDATE users SET is_verified = true WHERE email = $1", email)
    link = invite(site, email, "Heron & Co")
    open_link(page, link, "Accept the invitation")
    visit.inspect("invitation")
    page.get_by_role("button", name="Accept").press("Enter")
    alert = page.locator("#sign-in").get_by_role("alert")
    expect(alert).to_contain_text("Then you join the organization")
    visit.sign_in(email)
    visit.expect_signed_in()
    profile = visit.card("Profile")
    expect(profile.get_by_role("alert")).to_have_text("You joined Heron & Co.")
    assert site.fetch(ROLE, email) == "member"

    open_link(page, link, "Accept the invitation")
    page.get_by_role("button", name="Accept").click()
    expect(profile.get_by_role("alert")).to_contain_text("unknown, accepted, revoked or replaced")


def test_a_refused_invitation_is_accepted_later(visit: Visit, site: Site) -> None:
    page, email, other = visit.page, site.register("zoe"), site.register("albert")
    link = invite(site, email, "Kestrel Ltd")
    profile = visit.card("Profile")
    for person, reason in ((other, "another e-mail address"), (email, "Confirm your e-mail")):
        visit.sign_in(person)
        visit.expect_signed_in()
        page.context.clear_cookies(name="plinth_access")  # as when it expires
        open_link(page, link, "Accept the invitation")
        page.get_by_role("button", name="Accept").click()
        expect(profile.get_by_role("alert")).to_contain_text(reason)
        assert site.fetch(ROLE, person) is None
        if person == other:
            visit.sign_out()
    site.execute("UPDATE users SET is_verified = true WHERE email = $1", email)
    open_link(page, link, "Accept the invitation")
    page.get_by_role("button", name="Accept").click()
    expect(profile.get_by_role("alert")).to_have_text("You joined Kestrel Ltd.")
    assert site.fetch(ROLE, email) == "member"


def test_an_expired_code_leaves_no_address_in_the_browser(visit: Visit, site: Site) -> None:
    page, email = visit.page, site.register("yvonne")
    page.locator("#sign-in").get_by_label("E-mail").fill(email)
    page.get_by_role("button", name="Send a code by e-mail").click()
    expect(page.get_by_role("heading", name="Check your mail")).to_be_visible()
    page.goto(f"{site.origin}/account")
    assert page.evaluate("localStorage.length") == 1, "the link may open in another tab"
    page.clock.set_fixed_time(datetime.now(UTC) + timedelta(minutes=11))
    page.goto(f"{site.origin}/account/email-code#token=12345678")
    alert = page.locator("#sign-in").get_by_role("alert")
    expect(alert).to_contain_text("in which you requested the code")
    assert page.evaluate("localStorage.length") == 0


def test_an_incomplete_link_is_explained(visit: Visit, site: Site) -> None:
    page = visit.page
    page.goto(f"{site.origin}/account/reset-password")
    expect(page.locator("#forgotten").get_by_role("alert")).to_contain_text("incomplete")
    page.goto(f"{site.origin}/account/verify-email")
    expect(page.locator("#sign-in").get_by_role("alert")).to_contain_text("incomplete")
    page.goto(f"{site.origin}/account/accept-invitation")
    expect(page.locator("#sign-in").get_by_role("alert")).to_contain_text("another invitation")
    page.goto(f"{site.origin}/account/forgot-password")
    expect(page.locator("#forgotten").get_by_role("alert")).to_be_empty()


def test_no_token_of_a_link_is_in_the_log(visit: Visit, site: Site, folder: Path) -> None:
    email = site.register("tobias")
    link = read_link(site, email, "Confirm your e-mail")
    open_link(visit.page, link, "Confirm your e-mail")
    visit.page.get_by_role("button", name="Confirm").click()
    expect(visit.page.get_by_role("heading", name="Sign in")).to_be_visible()
    log = (folder / "serve.log").read_text()
    assert "/auth/email/verify 403" in log
    assert link.partition("token=")[2] not in log


def test_a_page_on_an_origin_without_passkeys_names_the_one_with(visit: Visit, site: Site) -> None:
    page, email = visit.page, site.register("wilma")
    other = site.origin.replace("localhost", "127.0.0.1")
    visit.watched.origin = "http://"
    page.goto(f"{other}/account")
    text = f"Passkeys work only at {site.origin}/account: open the page there."
    expect(page.locator("#sign-in").get_by_text(text)).to_be_visible()
    expect(page.get_by_role("button", name="Sign in with a passkey")).to_be_hidden()
    visit.inspect("sign-in-other-origin")
    visit.sign_in(email)
    visit.expect_signed_in()
    expect(visit.card("Passkeys").get_by_text(text)).to_be_visible()
    expect(visit.card("Passkeys").get_by_role("button", name="Add a passkey")).to_be_hidden()
    visit.inspect("account-other-origin")
