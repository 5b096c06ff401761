"""A project of the previous release after `plinth upgrade`, as docs/upgrades.md promises it."""

from tests.support.mail_server import serving_mail
from tests.upgrade.conftest import Upgrade, digests, plinth, serving, wait_until_sent
from tests.upgrade.seed import EMAIL, create_note, log_in


def test_no_file_of_the_team_changed(upgrade: Upgrade) -> None:
    after = digests(upgrade.shop)
    changed = {name for name, text in upgrade.texts.items() if after.get(name) != text}
    assert changed == {
        ".plinth.json", "deploy/healthcheck.py", "pyproject.toml", "requirements-dev.txt",
        "requirements.txt", "wheels/plinth_backend-2.0.0-py3-none-any.whl",
    }  # fmt: skip
    assert "Dockerfile, which you have changed" in upgrade.printed
    assert "+# Of the new release" in upgrade.printed


def test_its_tests_pass_and_list_the_deprecated_name(upgrade: Upgrade) -> None:
    printed = upgrade.shop.run("make", "test")
    assert " passed" in printed
    assert "PlinthDeprecationWarning: plinth.http.routes.without is deprecated" in printed


def test_lint_types_and_migrations_pass(upgrade: Upgrade) -> None:
    upgrade.shop.run("make", "lint", "types", "migrations")


def test_the_deprecated_setting_works(upgrade: Upgrade) -> None:
    code = "from app.core.config import settings as it; print(it.MAX_SESSIONS, it.SHOP_LIMIT)"
    python = upgrade.shop.folder / ".venv" / "bin" / "python"
    printed = upgrade.shop.run(python, "-W", "default", "-c", code, **upgrade.servers)
    assert "5 4\n" in printed
    assert "PlinthDeprecationWarning: SESSIONS_PER_USER is deprecated" in printed
    assert "The setting SESSIONS_PER_USER is deprecated: set MAX_SESSIONS instead" in printed


def test_what_clients_hold_stays_valid(upgrade: Upgrade) -> None:
    seed = upgrade.seed
    with serving(upgrade.shop, **upgrade.servers) as client:
        me = client.get("/users/me", headers=seed.headers)
        assert (me.status_code, me.json()) == (200, seed.user)
        assert me.headers["X-Shop"] == "ours"  # the overridden route
        page = client.get(client.base_url.join(seed.next_page), headers=seed.headers)
        assert page.status_code == 200, page.text
        assert len(page.json()["items"]) == 1
        replayed = create_note(client, seed.headers)
        assert (replayed.status_code, replayed.json()) == (201, seed.created)
        notes = client.get("/notes/", headers=seed.headers).json()
        assert notes["total"] == 3
        refreshed = client.post("/auth/refresh", json={"refresh_token": seed.refresh_token})
        assert refreshed.status_code == 200, refreshed.text
        assert client.get("/health/version").status_code == 200  # the new route


def test_the_queued_mail_is_sent(upgrade: Upgrade) -> None:
    with serving_mail() as inbox:
        settings = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(inbox.port), "SMTP_TLS": "none"}
        with serving(upgrade.shop, **upgrade.servers, **settings, MAIL_WORKER="true"):
            wait_until_sent(inbox)
    assert [letter["To"] for letter in inbox.letters] == [EMAIL]


def test_the_audit_log_verifies(upgrade: Upgrade) -> None:
    number, _, digest = upgrade.head.partition(":")
    assert int(number) > 0
    found = plinth(upgrade.shop, "audit", "verify", "--expect", digest, **upgrade.servers)
    assert "Events that hold together" in found


def test_the_older_code_serves_on_the_new_schema(upgrade: Upgrade) -> None:
    with serving(upgrade.before, **upgrade.servers) as client:
        tokens = log_in(client)
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        note = client.post("/notes/", json={"title": "the fourth"}, headers=headers)
        assert note.status_code == 201, note.text
        refreshed = client.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
        assert refreshed.status_code == 200, refreshed.text
        assert client.get("/health/version").status_code == 404
