"""The memberships of users in `plinth users export` and `plinth users erase`."""

import json
from pathlib import Path

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.organizations.services import personal_data
from plinth.testing.people import People
from tests.support.command import plinth
from tests.support.organizations import Company, found


@pytest.fixture
async def company(client: AsyncClient, people: People, second: asyncpg.Connection) -> Company:
    return await found(client, people, second)


async def test_export_has_the_memberships(
    company: Company, people: People, environment: dict[str, str], tmp_path: Path
) -> None:
    member, other = await company.enter("member"), await people.add()
    shown = plinth("users", "export", "-", "--format", "jsonl", **environment)
    exported = {it["id"]: it["memberships"] for it in map(json.loads, shown.stdout.splitlines())}
    assert exported == {
        company.owner.id: [{"organization": "acme", "role": "owner"}],
        member.id: [{"organization": "acme", "role": "member"}],
        other.id: [],
    }


async def test_export_with_memberships_can_be_imported(
    company: Company, environment: dict[str, str], second: asyncpg.Connection, tmp_path: Path
) -> None:
    for suffix in ("csv", "jsonl"):
        file = tmp_path / f"users.{suffix}"
        done = plinth("users", "export", str(file), "--with-hashes", **environment)
        assert done.returncode == 0, done.stderr
    await second.execute("DELETE FROM organizations")
    for file in (tmp_path / "users.csv", tmp_path / "users.jsonl"):
        await second.execute("DELETE FROM users")
        done = plinth("users", "import", str(file), **environment)
        assert done.stdout == "Imported 1 users.\n", done.stderr


async def test_export_fills_more_than_one_batch(
    company: Company,
    environment: dict[str, str],
    second: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    many = personal_data.BATCH_SIZE * 2 + 1
    await second.execute(
        "INSERT INTO users (email, username, hashed_password)"
        " SELECT n || '@example.org', 'user' || n, '!' FROM generate_series(1, $1) n",
        many,
    )
    await second.execute(
        "INSERT INTO memberships (organization_id, user_id, role)"
        " SELECT $1, id, 'member' FROM users WHERE id <> $2",
        company.id,
        company.owner.id,
    )
    shown = plinth("users", "export", "-", "--format", "jsonl", **environment)
    exported = [json.loads(line) for line in shown.stdout.splitlines()]
    assert len(exported) == many + 1
    assert all(len(it["memberships"]) == 1 for it in exported)


async def test_erasure_of_the_last_owner_is_refused(
    company: Company, environment: dict[str, str], second: asyncpg.Connection
) -> None:
    refused = plinth("users", "erase", company.owner.email, "--yes", **environment)
    assert refused.returncode == 1
    assert "This would leave no owner in the organization: acme" in " ".join(refused.stderr.split())
    assert await second.fetchval("SELECT count(*) FROM users") == 1


async def test_erasure_removes_memberships_and_invitations(
    company: Company, people: People, environment: dict[str, str], second: asyncpg.Connection
) -> None:
    await company.enter("owner")
    guest = await people.add(email="guest@example.com")
    for email in ("Guest@example.com", "other@example.com"):
        body = {"email": email, "role": "member"}
        await company.call("POST", "/invitations", company.owner, body)
    done = plinth("users", "erase", guest.email, "--yes", **environment)
    assert done.returncode == 0, done.stderr
    assert await second.fetchval("SELECT string_agg(email, ' ') FROM invitations") == (
        "other@example.com"
    )
    done = plinth("users", "erase", company.owner.email, "--yes", **environment)
    assert done.returncode == 0, done.stderr
    assert company.owner.id not in await company.roles()
    assert await second.fetchval("SELECT count(*) FROM invitations") == 0  # the erased user's
