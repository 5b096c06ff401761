"""Content of the admin pages, and values that they must never show."""

import re
from datetime import date
from hashlib import sha256
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Column, Integer, LargeBinary, String

from plinth.accounts.models import OneTimeToken
from plinth.admin.dashboard import Series, draw_bars
from plinth.admin.resources import find_plain_models, is_secret
from plinth.testing.people import CHEAP_HASH, People
from tests.support.superuser import Superuser

ODD = [
    "/user/detail?pk=x",
    "/session/detail?pk=1",
    "/user/list?sort=hashed_password__asc",
    "/user/list?page=x&page_size=-1",
    "/user/list?filter=hashed_password%20eq%20x",
    "/user/list?filter=%28%28",
    "/user/list?q=%00",
    "/user/detail?pk=99999999999999999999999",
    "/nothing/list",
    "/one-time-token/list",
    "/_api/user/relation-lookup?q=x",
    "/_api/session/relation-lookup",
    "/_files/a/b",
]
TABLES = ("user", "session", "event", "mail")
EVENT_HANDLER = re.compile(r"<[^>]*\son\w+\s*=")


async def all_pages(root: Superuser, second: asyncpg.Connection) -> dict[str, str]:
    await second.execute(
        "INSERT INTO mails (kind, recipient, sealed, dead_at)"
        " VALUES ('email_verify', 'ann@example.com', 'what-is-sealed', now())"
    )
    keys = {
        "user": "SELECT id::text FROM users",
        "session": "SELECT id::text FROM sessions",
        "event": "SELECT id::text FROM events",
        "mail": "SELECT id::text FROM mails",
    }
    paths = ["/", "/user/edit?pk=" + await second.fetchval(keys["user"])]
    for table in TABLES:
        paths += [f"/{table}/list", f"/{table}/detail?pk={await second.fetchval(keys[table])}"]
    answers = {path: await root.client.get(f"/admin{path}") for path in paths}
    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(
        paths, 200
    )
    return {path: answer.text for path, answer in answers.items()}


async def test_pages_show_no_hash_and_no_token(root: Superuser, second: asyncpg.Connection) -> None:
    session = await second.fetchrow("SELECT * FROM sessions")
    event = await second.fetchrow("SELECT * FROM events LIMIT 1")
    cookie = root.client.cookies["plinth_admin"]
    secrets = [
        CHEAP_HASH,
        "argon2",
        cookie,
        "what-is-sealed",
        sha256(cookie.encode()).hexdigest(),
        *(value.hex() for value in (session["token_hash"], event["hash"], event["personal"])),
    ]
    for path, text in (await all_pages(root, second)).items():
        for secret in secrets:
            assert secret not in text, path
        columns = set(re.findall(r'data-column="(\w+)"', text))
        assert not columns & {"hashed_password", "token_hash", "previous_hash", "successor"}
        assert not columns & {"sealed", "salt", "personal", "hash"}, path


async def test_content_security_policy_permits_only_local_scripts(
    root: Superuser, second: asyncpg.Connection
) -> None:
    pages = await all_pages(root, second)
    pages["/login"] = (await root.client.get("/admin/login", headers={"Cookie": ""})).text
    for path, text in pages.items():
        assert not EVENT_HANDLER.search(text), f"{path}: plinth/admin/templating.py has to know it"
        for tag in re.findall(r"<(?:script|style)[^>]*>", text):
            assert "nonce=" in tag or "src=" in tag, path
        assert not re.findall(r'(?:src|href)="(?!http://test/|/|#|\.|\?|data:)[^"]*"', text), path
        assert "@import" not in text, path
    answer = await root.get("/")
    policy = answer.headers["content-security-policy"]
    (nonce,) = set(re.findall(r"nonce-([\w-]+)", policy))
    assert f'nonce="{nonce}"' in answer.text
    assert "unsafe" not in policy.replace("style-src-attr 'unsafe-inline'", "")
    assert nonce not in (await root.get("/")).headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"


async def test_dashboard_shows_counts(
    root: Superuser, people: People, second: asyncpg.Connection
) -> None:
    person = await people.enter()
    wrong = type(person)(person.id, person.email, person.username, "Wrong-Horse-7")
    for _ in range(3):
        await people.try_to_sign_in(wrong)
    text = (await root.get("/")).text

    assert "Logins and refusals: 2 logins, 3 refusals" in text
    assert re.search(r"Live sessions</div>\s*<div[^>]*>2<", text)
    assert re.search(r"Users</div>\s*<div[^>]*>2<", text)
    assert text.count('class="status status-green">good') == 4


async def test_malformed_paths_never_cause_a_500(root: Superuser) -> None:
    for path in ODD:
        answer = await root.client.get(f"/admin{path}")
        assert answer.status_code < 500, path
        assert "argon2" not in answer.text, path


def test_column_is_secret_by_type_name_or_info() -> None:
    names = ("hashed_password", "api_key", "reset_token", "client_secret", "key", "salt")
    secret: list[Column[Any]] = [Column(name, String) for name in names]
    secret += [Column("x", LargeBinary), Column("x", String, info={"secret": True})]
    plain: list[Column[Any]] = [
        Column(name, Integer) for name in ("id", "name", "monkey", "keyboard", "is_active")
    ]
    plain.append(Column("hash", String, info={"secret": False}))

    assert [is_secret(column) for column in secret] == [True] * len(secret)
    assert [is_secret(column) for column in plain] == [False] * len(plain)
    assert OneTimeToken not in find_plain_models()


def test_bar_chart_is_drawn_to_scale() -> None:
    days = [date(2026, 1, day) for day in (1, 2, 3)]
    drawn = str(
        draw_bars("<Visits>", days, Series("a", "good", [0, 5, 10]), Series("b", "bad", [0, 0, 10]))
    )
    heights = [
        float(it) for it in re.findall(r'<rect class="(?:good|bad)"[^>]*height="([\d.]+)"', drawn)
    ]

    assert heights[1] == heights[2] == pytest.approx(2 * heights[0], abs=0.2)
    assert "&lt;Visits&gt;: 15 a, 10 b" in drawn
    assert "Sat 03 Jan: 10 a, 10 b" in drawn
    assert "style=" not in drawn
