"""`/admin` in a browser: sign-in, pages and actions."""

from playwright.sync_api import Page, expect

from plinth.testing.people import PASSWORD
from tests.browser.conftest import SUPERUSER
from tests.support.browser import SIZE, Watched


def test_superuser_signs_in_views_pages_and_acts(watched: Watched) -> None:
    page = watched.page
    page.goto("/admin")
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    watched.picture("admin-login")
    page.get_by_label("E-mail").fill(SUPERUSER)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    expect(page.locator("svg.plot")).to_have_count(2)
    watched.picture("admin-front")

    look_at_users(watched, page)
    use_what_the_policy_changed(watched, page)
    for table in ("Sessions", "Events", "Mails"):
        page.get_by_role("link", name=table, exact=True).first.click()
        expect(page.get_by_role("heading", name=table)).to_be_visible()
        watched.picture(f"admin-{table.lower()}")
    page.set_viewport_size({"width": 420, "height": 800})
    page.goto("/admin/")
    watched.picture("admin-front-narrow")
    page.set_viewport_size(SIZE)
    page.get_by_text("root", exact=True).last.click()
    page.get_by_role("button", name="Logout").last.click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    page.goto("/admin/user/list")
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def look_at_users(watched: Watched, page: Page) -> None:
    page.get_by_role("link", name="Users", exact=True).click()
    watched.picture("admin-users")
    page.get_by_placeholder("Search").fill("ann")
    page.get_by_placeholder("Search").press("Enter")
    row = page.get_by_role("row").filter(has_text="ann@example.com")
    expect(row).to_be_visible()
    expect(page.get_by_text("bob@example.com")).to_have_count(0)
    row.get_by_role("button", name="Actions").click()
    expect(row.get_by_text("End sessions")).to_be_visible()
    watched.picture("admin-users-actions", whole=False)
    row.get_by_text("Deactivate").click()
    page.get_by_role("button", name="Yes, Proceed").click()
    expect(page.get_by_text("The user was deactivated")).to_be_visible()
    watched.picture("admin-deactivated", whole=False)
    row.get_by_role("button", name="Actions").click()
    row.get_by_text("End sessions").click()
    page.get_by_role("button", name="Yes, Proceed").click()
    expect(page.get_by_text("All sessions of the user were ended")).to_be_visible()
    change_the_name(watched, page)


def change_the_name(watched: Watched, page: Page) -> None:
    page.get_by_role("row").filter(has_text="ann@example.com").get_by_text("ann@").click()
    expect(page.get_by_text("Ann Other")).to_be_visible()
    watched.picture("admin-user")
    page.get_by_role("link", name="Edit").or_(page.get_by_role("button", name="Edit")).click()
    page.get_by_label("Full name").fill("Ann Others")
    watched.picture("admin-user-edit")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Ann Others")).to_be_visible()


def use_what_the_policy_changed(watched: Watched, page: Page) -> None:
    """Use the handlers that `plinth/admin/templating.py` moves out of attributes."""
    page.goto("/admin/event/list")
    page.get_by_label("Page size").select_option("100")
    page.wait_for_url("**page_size=100*")
    expect(page.get_by_text("Showing 1 to 100 of")).to_be_visible()
    page.get_by_role("button", name="Columns").click()
    page.get_by_role("checkbox", name="Reason").uncheck()
    page.get_by_role("button", name="Apply").first.click()
    expect(page.locator("th[data-column=reason]")).to_have_count(0)
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("Field").select_option("outcome")
    page.locator(".filter-row-value").first.fill("failure")
    watched.picture("admin-filter", whole=False)
    page.get_by_role("button", name="Apply filters").click()
    expect(page.get_by_text("Filters:")).to_be_visible()
    expect(page.locator("td[data-column=outcome]").first).to_have_text("failure")
