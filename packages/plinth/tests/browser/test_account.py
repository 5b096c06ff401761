"""`/account` in a browser: every way to sign in, and what a user manages there."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from plinth.testing.databases import TestServices
from plinth.testing.people import PASSWORD
from tests.browser.account import Site, Visit, in_thread, make_app_code, serving_site, visiting
from tests.support.mail_server import serving_mail, token_of

NEW_PASSWORD = "Heron-At-The-Weir-9"


@pytest.fixture(scope="module")
def site(
    services: TestServices, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("account")
    with serving_mail() as inbox, serving_site(services, database_url, inbox, folder) as site:
        yield site


@pytest.fixture
def visit(browser: Browser, site: Site) -> Iterator[Visit]:
    with visiting(browser, site) as visit:
        yield visit


def add_app(visit: Visit, name: str = "Phone") -> str:
    """Add an authenticator app and return its secret."""
    apps = visit.card("Authenticator apps")
    apps.get_by_role("button", name="Add an app").click()
    visit.answer("Name", name)
    secret: str = apps.locator("code").inner_text()
    visit.inspect("new-app")
    apps.get_by_label("Code of the app").fill(make_app_code(secret))
    apps.get_by_role("button", name="Confirm").click()
    expect(apps.get_by_role("alert")).to_contain_text("The app was added")
    return secret


def get_recovery_codes(visit: Visit) -> list[str]:
    recovery = visit.card("Recovery codes")
    recovery.get_by_role("button", name="Get new recovery codes").click()
    expect(recovery.locator("code")).to_have_count(10)
    codes: list[str] = recovery.locator("code").all_inner_texts()
    visit.inspect("recovery-codes")
    recovery.get_by_role("button", name="I saved them").click()
    expect(recovery.locator("code")).to_have_count(0)
    return codes


def add_passkey(visit: Visit, name: str) -> None:
    passkeys = visit.card("Passkeys")
    passkeys.get_by_role("button", name="Add a passkey").click()
    visit.authenticator.touch(touches=True)
    visit.answer("Name", name)
    expect(passkeys.get_by_role("alert")).to_contain_text("The passkey was added")
    visit.authenticator.touch(touches=False)


def test_a_user_signs_in_and_manages_factors(visit: Visit, site: Site) -> None:
    page, email = visit.page, site.register("harriet")
    visit.inspect("sign-in")
    visit.show_dark("sign-in-dark")
    visit.sign_in(email, "wrong")
    expect(page.get_by_role("alert")).to_have_text("Incorrect email or password")
    visit.inspect("sign-in-refused")
    visit.sign_in(email)
    visit.expect_signed_in()
    assert "plinth" not in page.evaluate("document.cookie")
    site.sign_in_elsewhere(email)
    page.reload()
    visit.expect_signed_in()
    visit.inspect("account")
    visit.show_dark("account-dark")

    devices = visit.card("Signed-in devices")
    devices.get_by_role("button", name="Sign out Firefox").click()
    expect(devices.get_by_role("alert")).to_contain_text("was signed out")
    expect(devices.get_by_role("listitem")).to_have_count(1)

    secret = add_app(visit)
    codes = get_recovery_codes(visit)
    visit.sign_out()

    visit.sign_in(email)
    expect(page.get_by_role("heading", name="Second factor")).to_be_visible()
    visit.inspect("second-factor")
    site.renew_codes(email)
    page.locator("#second-factor input").fill("000000")
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("#second-factor").get_by_role("alert")).not_to_be_empty()
    page.locator("#second-factor input").fill(make_app_code(secret))
    page.get_by_role("button", name="Continue").click()
    visit.expect_signed_in()

    add_passkey(visit, "Laptop")
    visit.inspect("passkey")
    visit.sign_out()
    visit.authenticator.touch(touches=True)
    page.get_by_role("button", name="Sign in with a passkey").click()
    visit.expect_signed_in()
    page.context.clear_cookies()
    page.reload()  # the browser offers the passkey in the field, and its user takes it
    visit.expect_signed_in()
    visit.authenticator.touch(touches=False)
    visit.sign_out()

    visit.sign_in(email)
    page.locator("#second-factor select").select_option("recovery_code")
    page.locator("#second-factor input").fill(codes[0])
    page.get_by_role("button", name="Continue").click()
    visit.expect_signed_in()


def test_an_old_session_authenticates_again_for_a_change(visit: Visit, site: Site) -> None:
    page, email = visit.page, site.register("stefan")
    visit.sign_in(email)
    visit.expect_signed_in()
    add_passkey(visit, "Laptop")
    secret = add_app(visit)
    site.let_time_pass(email)
    recovery = visit.card("Recovery codes")
    recovery.get_by_role("button", name="Get new recovery codes").click()
    dialog = page.get_by_role("dialog", name="Confirm that it is you")
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    expect(recovery.locator("code")).to_have_count(0)

    recovery.get_by_role("button", name="Get new recovery codes").click()
    dialog.locator("select").select_option("totp")
    visit.inspect("step-up")
    dialog.locator("input").fill("000000")
    dialog.get_by_role("button", name="Continue").click()
    expect(dialog.get_by_role("alert")).not_to_be_empty()
    dialog.locator("input").fill(make_app_code(secret))
    dialog.get_by_role("button", name="Continue").click()
    expect(recovery.locator("code")).to_have_count(10)

    site.let_time_pass(email)
    visit.card("Passkeys").get_by_role("button", name="Remove Laptop").click()
    visit.inspect("remove")
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    visit.authenticator.touch(touches=True)
    dialog.locator("select").select_option("passkey")
    dialog.get_by_role("button", name="Continue").click()
    expect(visit.card("Passkeys").get_by_role("alert")).to_have_text("Laptop was removed.")


def test_a_user_renames_factors_and_changes_the_password(visit: Visit, site: Site) -> None:
    page, email = visit.page, site.register("ingrid")
    visit.sign_in(email)
    visit.expect_signed_in()
    add_app(visit)
    apps = visit.card("Authenticator apps")
    apps.get_by_role("button", name="Rename Phone").click()
    visit.answer("Name", "<b>Tablet</b>", "Save")
    expect(apps.get_by_role("listitem")).to_contain_text("<b>Tablet</b>")
    password = visit.card("Password")
    password.get_by_label("Current password").fill("wrong")
    password.get_by_label("New password").fill("short")
    password.get_by_role("button", name="Change password").click()
    expect(password.get_by_role("alert")).to_contain_text("password: ")
    password.get_by_label("New password").fill(NEW_PASSWORD)
    password.get_by_role("button", name="Change password").click()
    expect(password.get_by_role("alert")).to_have_text("The current password is missing or wrong")
    password.get_by_label("Current password").fill(PASSWORD)
    password.get_by_label("New password").fill(NEW_PASSWORD)
    password.get_by_role("button", name="Change password").click()
    expect(password.get_by_role("alert")).to_have_text("The password was changed.")
    apps.get_by_role("button", name="Remove <b>Tablet</b>").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(apps.get_by_text("No app yet.")).to_be_visible()
    expect(visit.card("Recovery codes")).to_be_hidden()


def test_a_user_signs_in_with_a_code_by_mail(visit: Visit, site: Site) -> None:
    page, email = visit.page, site.register("joanna")
    page.get_by_role("button", name="Send a code by e-mail").click()
    expect(page.get_by_role("alert").filter(visible=True)).to_have_text("Enter your e-mail first.")
    page.locator("#sign-in").get_by_label("E-mail").fill(email)
    page.get_by_role("button", name="Send a code by e-mail").click()
    expect(page.get_by_role("heading", name="Check your mail")).to_be_visible()
    visit.inspect("email-code")
    mail = in_thread(lambda: site.inbox.next(email, "Your code"))
    page.get_by_label("Code", exact=True).filter(visible=True).fill(token_of(mail))
    page.get_by_role("button", name="Sign in").click()
    visit.expect_signed_in()
    expect(visit.card("Profile")).to_contain_text("Verified")


def test_too_many_attempts_show_when_to_retry(visit: Visit, site: Site) -> None:
    email = site.register("klaus")
    alert = visit.page.locator("#sign-in").get_by_role("alert")
    for _ in range(5):
        visit.sign_in(email, "wrong")
        expect(alert).to_have_text("Incorrect email or password")
    visit.sign_in(email, "wrong")
    expect(alert).to_contain_text("Try again in 5 minutes.")
    visit.inspect("rate-limited")


def test_the_session_is_refreshed_and_its_end_is_shown(visit: Visit, site: Site) -> None:
    page, email = visit.page, site.register("lena")
    visit.sign_in(email)
    visit.expect_signed_in()
    page.context.clear_cookies(name="plinth_access")  # as when it expires
    visit.card("Profile").get_by_role("button").click()
    expect(visit.card("Profile").get_by_role("alert")).to_contain_text("a mail is on its way")
    site.execute("UPDATE users SET session_epoch = session_epoch + 1 WHERE email = $1", email)
    visit.card("Profile").get_by_role("button").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.locator("#sign-in").get_by_role("alert")).to_contain_text("Your session has ended")


def test_a_sign_in_of_another_user_in_another_tab_changes_nothing(visit: Visit, site: Site) -> None:
    page, email, other = visit.page, site.register("maria"), site.register("noah")
    visit.sign_in(email)
    visit.expect_signed_in()
    tab = page.context.new_page()
    tab.goto(f"{site.origin}/account")
    tab.get_by_role("button", name="Sign out").first.click()
    tab.locator("#sign-in").get_by_label("E-mail").fill(other)
    tab.get_by_label("Password", exact=True).fill(PASSWORD)
    tab.get_by_role("button", name="Sign in", exact=True).click()
    expect(tab.get_by_role("heading", name="Your account")).to_be_visible()
    visit.card("Profile").get_by_role("button").click()
    expect(visit.card("Profile").get_by_role("alert")).to_contain_text("Someone signed in again")
    expect(visit.card("Profile")).to_contain_text(other)


def test_the_page_is_usable_by_keyboard_only(visit: Visit, site: Site) -> None:
    page, email = visit.page, site.register("olga")
    keyboard = page.keyboard
    keyboard.press("Tab")
    keyboard.type(email)
    keyboard.press("Tab")
    keyboard.type(PASSWORD)
    keyboard.press("Enter")
    visit.expect_signed_in()
    expect(page.get_by_role("heading", name="Your account")).to_be_focused()
    press_until(page, "Add an app")
    keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Add an app")).to_be_visible()
    keyboard.type("Key")
    keyboard.press("Enter")
    code = page.get_by_label("Code of the app")
    expect(code).to_be_focused()
    keyboard.type(make_app_code(page.locator("#apps code").inner_text()))
    keyboard.press("Enter")
    expect(visit.card("Authenticator apps").get_by_role("alert")).to_contain_text("added")
    press_until(page, "Remove Key")
    keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Remove Key?")).to_be_visible()
    keyboard.press("Escape")
    expect(page.get_by_role("button", name="Remove Key")).to_be_focused()
    visit.watched.picture("account-focus", whole=False)
    keyboard.press("Enter")
    keyboard.press("Enter")
    expect(visit.card("Authenticator apps").get_by_text("No app yet.")).to_be_visible()
    expect(page.get_by_role("heading", name="Authenticator apps")).to_be_focused()
    press_until(page, "Sign out everywhere")
    keyboard.press("Enter")
    keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Sign in")).to_be_focused()


def press_until(page: Page, name: str) -> None:
    """Press Tab until the button is focused."""
    button = page.get_by_role("button", name=name)
    for _ in range(40):
        if button.evaluate("it => it === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{name} cannot be reached")
