"""`/docs` and `/redoc` in a browser, with their Content-Security-Policy."""

from playwright.sync_api import expect

from plinth.testing.people import PASSWORD
from tests.browser.conftest import SUPERUSER
from tests.support.browser import Watched


def test_authorize_button_signs_in_and_requests_succeed(watched: Watched) -> None:
    page = watched.page
    page.goto("/docs")
    page.locator("button.authorize").click()
    watched.picture("docs-authorize", whole=False)
    dialog = page.locator(".dialog-ux .modal-ux")
    dialog.locator("#oauth_username").fill(SUPERUSER)
    dialog.locator("#oauth_password").fill(PASSWORD)
    dialog.get_by_role("button", name="Apply given OAuth2 credentials").click()
    expect(dialog.get_by_text("Authorized", exact=True)).to_be_visible()
    dialog.locator("button.btn-done").first.click()

    operation = page.locator("#operations-users-get_me")
    operation.click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table .response").first
    expect(answer.locator(".response-col_status").first).to_have_text("200")
    expect(answer).to_contain_text(SUPERUSER)
    operation.scroll_into_view_if_needed()
    watched.picture("docs", whole=False)


def test_redoc_shows_the_document(watched: Watched) -> None:
    page = watched.page
    page.goto("/redoc")
    expect(page.get_by_role("link", name="get /api/v1/users/me", exact=True)).to_be_visible()
    watched.picture("redoc", whole=False)
