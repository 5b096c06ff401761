"""Tests of a column `phone` of users. `test_user_column.py` runs them in a checkout that has it."""

import csv
import json
from pathlib import Path

import asyncpg
from httpx2 import AsyncClient

from plinth.testing.answers import check_invalid
from plinth.testing.people import PASSWORD, People
from tests.admin.conftest import root, stranger
from tests.support.command import plinth
from tests.support.superuser import Superuser

__all__ = ["root", "stranger"]

PHONE, OTHER = "+44 1815 1815", "+1 555 0100"
ANN = {"email": "ann@example.com", "username": "ann", "password": PASSWORD, "phone": PHONE}
STORED = "SELECT phone FROM users WHERE username = 'ann'"


async def everything(second: asyncpg.Connection) -> str:
    tables = await second.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    rows = [await second.fetch(f"SELECT t::text FROM {table[0]} t") for table in tables]
    return str(rows)


async def test_user_can_register_with_the_column_and_change_it(
    client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    check_invalid(await client.post("/auth/register", json=ANN | {"phone": "x"}), "body.phone")
    registered = await client.post("/auth/register", json=ANN)
    assert (registered.status_code, registered.json()["phone"]) == (201, PHONE)
    ann = {"email": ANN["email"], "password": PASSWORD}
    token = (await client.post("/auth/login", json=ann)).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}

    assert (await client.get("/users/me", headers=headers)).json()["phone"] == PHONE
    assert await second.fetchval(STORED) == PHONE
    changed = await client.patch("/users/me", json={"phone": OTHER}, headers=headers)
    assert (changed.status_code, changed.json()["phone"]) == (200, OTHER)
    assert (await client.get("/users/me", headers=headers)).json()["phone"] == OTHER
    check_invalid(
        await client.patch("/users/me", json={"phone": "x"}, headers=headers), "body.phone"
    )
    cleared = await client.patch("/users/me", json={"phone": None}, headers=headers)
    assert cleared.json()["phone"] is None


async def test_only_superusers_see_and_change_the_column_of_others(
    client: AsyncClient, people: People
) -> None:
    ann, bob = await people.add(phone=PHONE), await people.enter()
    superuser = await people.enter(is_superuser=True)
    path = f"/users/{ann.id}"
    assert "phone" not in (await client.get(path, headers=bob.headers)).json()
    assert (await client.get(path, headers=superuser.headers)).json()["phone"] == PHONE
    listed = (await client.get("/users/", headers=superuser.headers)).json()["items"]
    assert [it["phone"] for it in listed] == [PHONE, None, None]
    changed = await client.patch(path, json={"phone": OTHER}, headers=superuser.headers)
    assert changed.json()["phone"] == OTHER


async def test_password_built_from_the_column_is_refused(client: AsyncClient) -> None:
    account = ANN | {"phone": "+4418151816", "password": "Ab4418151816"}
    check_invalid(await client.post("/auth/register", json=account), "body.password")
    account["phone"] = OTHER
    assert (await client.post("/auth/register", json=account)).status_code == 201


async def test_column_is_imported_exported_and_erased(
    people: People, environment: dict[str, str], second: asyncpg.Connection, tmp_path: Path
) -> None:
    await people.add(is_superuser=True)
    file = tmp_path / "users.csv"
    rows = ["email,username,phone", f"ann@example.com,ann,{PHONE}", "bob@example.com,bob,"]
    file.write_text("\n".join([*rows, f"eve@example.com,eve,{'5' * 31}"]))
    refused = plinth("users", "import", str(file), **environment)
    assert refused.returncode == 1
    assert "line 4: phone: " in refused.stderr
    file.write_text("\n".join(rows))
    done = plinth("users", "import", str(file), **environment)
    assert done.stdout == "Imported 2 users.\n", done.stderr
    assert await second.fetchval(STORED) == PHONE

    for options in ([], ["--with-hashes"]):
        shown = plinth("users", "export", "-", "--format", "csv", *options, **environment)
        phones = {
            row["username"]: row["phone"] for row in csv.DictReader(shown.stdout.splitlines())
        }
        assert (phones["ann"], phones["bob"]) == (PHONE, "")
        shown = plinth("users", "export", "-", "--format", "jsonl", *options, **environment)
        lines = [json.loads(line) for line in shown.stdout.splitlines()]
        assert [it["phone"] for it in lines] == [None, PHONE, None]

    assert PHONE in await everything(second)
    erased = plinth("users", "erase", "ann@example.com", "--yes", **environment)
    assert erased.returncode == 0, erased.stderr
    assert PHONE not in await everything(second)


async def test_admin_shows_the_column_in_list_and_form(
    root: Superuser, people: People, second: asyncpg.Connection
) -> None:
    ann = await people.add(username="ann", phone=PHONE)
    for path, query in (
        ("/user/list", {}),
        ("/user/detail", {"pk": str(ann.id)}),
        ("/user/edit", {"pk": str(ann.id)}),
    ):
        page = await root.get(path, **query)
        assert page.status_code == 200, path
        assert PHONE in page.text, path
    assert 'name="phone"' in page.text
    form = {"username": "ann", "full_name": "", "is_active": "on"}
    assert (await root.save("user", ann.id, **form, phone="5" * 31)).status_code == 422
    assert (await root.save("user", ann.id, **form, phone=OTHER)).status_code == 303
    assert await second.fetchval(STORED) == OTHER
    reason = await second.fetchval("SELECT reason FROM events ORDER BY id DESC LIMIT 1")
    assert reason == "phone"
    await root.save("user", ann.id, **form, phone="")
    assert await second.fetchval(STORED) is None
