"""`/admin` in a browser: the sign-in of a superuser whose only second factor is a passkey."""

from playwright.sync_api import Page, expect

from plinth.testing.people import PASSWORD
from tests.browser.account import REFUSED, find_violations
from tests.browser.conftest import KEYHOLDER
from tests.browser.test_passkeys import Device
from tests.support.browser import Watched


def sign_out(page: Page) -> None:
    page.goto(f"{page.url.partition('/admin')[0]}/admin/")
    page.get_by_text("helga", exact=True).last.click()
    page.get_by_role("button", name="Logout").last.click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_superuser_signs_in_with_a_passkey(watched: Watched) -> None:
    watched.origin = watched.origin.replace("127.0.0.1", "localhost")
    page = watched.page
    device = Device(page, watched.origin)
    token = device.sign_in_by_password(KEYHOLDER)["access_token"]
    assert device.call("addPasskey", token, "Key")["kind"] == "passkey"

    page.goto(f"{watched.origin}/admin/user/list")
    page.get_by_label("E-mail").fill(KEYHOLDER)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    passkey = page.get_by_role("button", name="Use a passkey")
    expect(passkey).to_be_visible()
    expect(page.get_by_role("button", name="Sign in")).to_have_count(0)
    assert find_violations(page) == []
    watched.picture("admin-second-factor-passkey")
    passkey.press("Enter")
    expect(page.get_by_role("heading", name="Users")).to_be_visible()
    sign_out(page)

    assert find_violations(page) == []
    passkey.press("Enter")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    sign_out(page)

    page.context.clear_cookies(name="starlette_admin_csrftoken")
    passkey.click()
    expect(page.get_by_role("alert")).to_contain_text("reload it and try again")
    page.reload()

    device.authenticator.verify_users(verifies=False)
    passkey.click()
    expect(page.get_by_role("alert")).to_contain_text("you cancelled")
    expect(passkey).to_be_enabled()
    watched.complaints = [it for it in watched.complaints if not it.startswith(REFUSED)]


def test_page_on_an_origin_without_passkeys_names_those_with(watched: Watched) -> None:
    page = watched.page
    page.goto("/admin")
    allowed = watched.origin.replace("127.0.0.1", "localhost")
    note = page.get_by_text(f"Passkeys work only at {allowed} (setting PASSKEY_ORIGINS)")
    expect(note).to_be_visible()
    expect(page.get_by_role("button", name="Use a passkey")).to_be_hidden()
    watched.picture("admin-login-other-origin")
