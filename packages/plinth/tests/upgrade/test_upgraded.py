"""A project of an earlier release after `plinth upgrade`, as docs/how-to/upgrades.md promises."""

from tests.support.mail_server import serving_mail, token_of
from tests.support.schemas import ask
from tests.upgrade.conftest import Upgrade
from tests.upgrade.running import hash_files, run_plinth, serving, wait_until_sent
from tests.upgrade.seed import (
    EMAIL,
    PHONE,
    add_superuser,
    bearer,
    create_note,
    impersonate,
    log_in,
    refresh,
    register,
)

MINUTES_LEFT = """
SELECT max(extract(epoch FROM greatest(expires_at, ends_at) - now()) / 60) FROM sessions
WHERE acting_session_id IS NOT NULL
"""
ADD_PASSKEY = """
INSERT INTO factors (user_id, kind, name, confirmed_at)
SELECT id, 'passkey', 'key', now() FROM users WHERE username = 'ben' RETURNING 1
"""
REMOVE_PASSWORD = "UPDATE users SET hashed_password = '!' WHERE username = 'cai' RETURNING 1"


def test_no_file_of_the_team_changed(upgrade: Upgrade) -> None:
    team_files = {*upgrade.facts.team_files}
    assert {
        "Dockerfile", "app/models/user.py", "app/models/note.py", "app/api/v1/own_sessions.py",
    } <= team_files  # fmt: skip
    after = hash_files(upgrade.shop)
    changed = {name for name, found in upgrade.hashes.items() if after.get(name) != found}
    assert changed & team_files == set()
    assert {".plinth.json", "deploy/healthcheck.py", "requirements.txt"} <= changed
    assert "Dockerfile, which you have changed" in upgrade.printed
    assert "+# Of the new release" in upgrade.printed


def test_project_tests_pass_and_list_the_deprecated_name(upgrade: Upgrade) -> None:
    printed = upgrade.shop.run("make", "test")
    assert " passed" in printed
    assert "PlinthDeprecationWarning: plinth.http.without_routes is deprecated" in printed


def test_lint_types_and_migrations_pass(upgrade: Upgrade) -> None:
    upgrade.shop.run("make", "lint", "types", "migrations")


def test_the_deprecated_setting_works(upgrade: Upgrade) -> None:
    code = "from app.core.config import settings as it; print(it.MAX_SESSIONS, it.SHOP_LIMIT)"
    python = upgrade.shop.folder / ".venv" / "bin" / "python"
    printed = upgrade.shop.run(python, "-W", "default", "-c", code, **upgrade.servers)
    assert "5 4\n" in printed
    assert "PlinthDeprecationWarning: SESSIONS_PER_USER is deprecated" in printed
    assert "The setting SESSIONS_PER_USER is deprecated: set MAX_SESSIONS instead" in printed


def test_tokens_cursors_and_keys_of_clients_stay_valid(upgrade: Upgrade) -> None:
    seed, headers = upgrade.facts.seed, upgrade.headers
    with serving(upgrade.shop, **upgrade.servers) as client:
        page = client.get(client.base_url.join(seed.next_page), headers=headers)
        assert page.status_code == 200, page.text
        assert len(page.json()["items"]) == 1
        replayed = create_note(client, headers)
        assert (replayed.status_code, replayed.json()) == (201, seed.created)
        assert client.get("/notes/", headers=headers).json()["total"] == 3
        continued = bearer(refresh(client, seed.refresh_token)["access_token"])
        for token in (headers, continued):
            me = client.get("/users/me", headers=token)
            assert (me.status_code, me.json()) == (200, seed.user)


def test_additions_of_the_team_work(upgrade: Upgrade) -> None:
    with serving(upgrade.shop, **upgrade.servers) as client:
        assert client.get("/users/me", headers=upgrade.headers).json()["phone"] == PHONE
        changed = client.patch("/users/me", json={"phone": None}, headers=upgrade.headers)
        assert (changed.status_code, changed.json()["phone"]) == (200, None)
        changed = client.patch("/users/me", json={"phone": PHONE}, headers=upgrade.headers)
        assert changed.json()["phone"] == PHONE
        sessions = client.get("/users/me/sessions", headers=upgrade.headers)
        assert sessions.headers["X-Shop"] == "ours"  # the overridden route
        assert len(sessions.json()) == 2
        assert client.get("/health/version").status_code == 200  # the new route


def test_the_queued_mail_is_sent_and_its_link_works(upgrade: Upgrade) -> None:
    with serving_mail() as inbox:
        settings = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(inbox.port), "SMTP_TLS": "none"}
        with serving(upgrade.shop, **upgrade.servers, **settings, MAIL_WORKER="true") as client:
            wait_until_sent(inbox)
            (letter,) = inbox.letters
            assert letter["To"] == EMAIL
            link = {"token": token_of(letter)}
            verified = client.post("/auth/email/verify", json=link, headers=upgrade.headers)
            assert verified.status_code == 204, verified.text


def test_the_audit_log_verifies(upgrade: Upgrade) -> None:
    number, _, _ = upgrade.facts.audit_head.partition(":")
    assert int(number) > 0
    expect = ("--expect", upgrade.facts.audit_head)
    found = run_plinth(upgrade.shop, "audit", "verify", *expect, **upgrade.servers)
    assert "Verified events" in found


def test_older_code_serves_on_the_new_schema(upgrade: Upgrade) -> None:
    with serving(upgrade.before, **upgrade.servers) as client:
        tokens = log_in(client)
        headers = bearer(tokens["access_token"])
        note = client.post("/notes/", json={"title": "the fourth"}, headers=headers)
        assert note.status_code == 201, note.text
        refresh(client, tokens["refresh_token"])
        assert client.get("/health/version").status_code == 404


def test_older_code_keeps_an_impersonation_only_until_it_expires(upgrade: Upgrade) -> None:
    """It does not know `acting_session_id`, so set `IMPERSONATION_MINUTES` after the rollout."""
    url = upgrade.servers["DATABASE_URL"]
    with (
        serving(upgrade.shop, **upgrade.servers, IMPERSONATION_MINUTES="30") as client,
        serving(upgrade.before, **upgrade.servers) as older,
    ):
        admin = add_superuser(client, url)
        acting = impersonate(client, admin, EMAIL)
        headers = bearer(acting["access_token"])
        assert client.get("/users/me", headers=headers).json()["email"] == EMAIL
        assert client.post("/auth/logout", headers=admin).status_code == 204
        assert client.get("/users/me", headers=headers).status_code == 401
        assert older.get("/users/me", headers=headers).status_code == 200
        change = {"password": "Other-Horse-8"}
        assert older.patch("/users/me", json=change, headers=headers).status_code == 400
        again = refresh(older, acting["refresh_token"])
        assert client.get("/users/me", headers=bearer(again["access_token"])).status_code == 401
    assert 0 < ask(url, MINUTES_LEFT)[0] <= 30


def test_older_code_starts_no_session_without_the_factor(upgrade: Upgrade) -> None:
    with serving(upgrade.before, **upgrade.servers) as older:
        ben = register(older, "ben")
        assert older.post("/auth/login", json=ben).status_code == 200
        ask(upgrade.servers["DATABASE_URL"], ADD_PASSKEY)
        refused = older.post("/auth/login", json=ben)
        assert (refused.status_code, refused.json()["code"]) == (503, "contended")


def test_older_code_refuses_an_account_without_a_password(upgrade: Upgrade) -> None:
    """An identity provider or a passkey signs it in, which only newer code knows."""
    with serving(upgrade.before, **upgrade.servers) as older:
        cai = register(older, "cai")
        ask(upgrade.servers["DATABASE_URL"], REMOVE_PASSWORD)
        for password in (cai["password"], "!"):
            refused = older.post("/auth/login", json=cai | {"password": password})
            assert refused.status_code == 401, refused.text
