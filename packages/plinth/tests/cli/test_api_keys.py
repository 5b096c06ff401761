"""`plinth api-keys`: an operator lists and revokes the keys of users."""

import json

import asyncpg
from httpx2 import AsyncClient

from plinth.testing.people import People
from tests.support.api_keys import create_key, header
from tests.support.command import plinth


async def test_keys_are_listed_without_secrets(
    client: AsyncClient, people: People, environment: dict[str, str]
) -> None:
    ann, bob = await people.enter(), await people.enter()
    first, second = await create_key(client, ann, name="CI"), await create_key(client, bob)
    shown = plinth("api-keys", "list", "--json", **environment)
    rows = json.loads(shown.stdout)
    assert [row["id"] for row in rows] == [second["id"], first["id"]]
    assert (rows[1]["owner"], rows[1]["name"]) == (ann.email, "CI")
    assert (rows[1]["prefix"], rows[1]["scopes"]) == (first["prefix"], "profile:read")
    assert first["key"] not in shown.stdout
    shown = plinth("api-keys", "list", ann.email, **environment)
    assert first["id"] in shown.stdout
    assert second["id"] not in shown.stdout


async def test_operator_revokes_a_key_by_its_prefix_and_all_keys_of_a_user(
    client: AsyncClient,
    people: People,
    second: asyncpg.Connection,
    environment: dict[str, str],
) -> None:
    ann = await people.enter(is_verified=True)
    leaked, other, third = [await create_key(client, ann) for _ in range(3)]
    done = plinth("api-keys", "revoke", leaked["prefix"], "--yes", **environment)
    assert done.stdout == f'Revoked "CI" of user {ann.id}.\n', done.stderr
    assert (await client.get("/users/me", headers=header(leaked))).status_code == 401
    assert (await client.get("/users/me", headers=header(other))).status_code == 200
    again = plinth("api-keys", "revoke", leaked["id"], "--yes", **environment)
    assert (again.returncode, leaked["id"] in again.stderr) == (1, True)
    done = plinth("api-keys", "revoke", "--user", ann.email, "--yes", **environment)
    assert done.stdout == "Revoked 2 API keys.\n", done.stderr
    for key in (other, third):
        assert (await client.get("/users/me", headers=header(key))).status_code == 401
    rows = await second.fetch("SELECT reason FROM events WHERE event = 'api_key.revoked'")
    assert {row["reason"] for row in rows} == {
        f"{key['id']}: revoked by an operator" for key in (leaked, other, third)
    }
    assert await second.fetchval("SELECT count(*) FROM mails WHERE kind LIKE '%revoked'") == 2


def test_wrong_arguments_are_refused(environment: dict[str, str]) -> None:
    for arguments in ((), ("x", "--user", "1"), ("x",), ("--user", "424242", "--yes")):
        done = plinth("api-keys", "revoke", *arguments, **environment)
        assert done.returncode == 1, done.stdout
        assert "Traceback" not in done.stderr
