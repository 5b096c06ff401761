"""The guide's commands as people type them, in processes of their own."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from httpx2 import AsyncClient, ConnectError

from tests.support.command import PATIENCE, find_free_port
from tests.support.databases import TestServices, empty_database
from tests.support.environment import ROOT, bare_environment

BIN = Path(sys.executable).parent
ANN = {"email": "ann@example.com", "username": "ann", "password": "a-Plinth-4-ann"}
BOB = {"email": "bob@example.com", "username": "bob", "password": "a-Plinth-4-bob"}
SUPERUSER = "UPDATE users SET is_superuser = true WHERE username = 'ann'"


@pytest.fixture
def elsewhere(
    services: TestServices, environment: dict[str, str], worker_id: str
) -> Iterator[dict[str, str]]:
    """The settings of a command that works on an empty database."""
    with empty_database(services, f"{worker_id}_guide") as url:
        yield environment | {"DATABASE_URL": url}


@pytest.fixture
def port(environment: dict[str, str], tmp_path: Path) -> Iterator[int]:
    """Where `uvicorn app.main:app --port N` is about to serve."""
    port = find_free_port()
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [BIN / "uvicorn", "app.main:app", "--port", str(port)],
            cwd=ROOT,
            env=bare_environment() | environment | {"MAIL_WORKER": "false"},
            stdout=log,
            stderr=log,
        )
    try:
        yield port
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        finally:
            process.kill()


@pytest.fixture
async def server(port: int, second: asyncpg.Connection) -> AsyncIterator[AsyncClient]:
    url = f"http://127.0.0.1:{port}/api/v1"
    async with AsyncClient(base_url=url, timeout=PATIENCE) as client:
        async with asyncio.timeout(PATIENCE):
            while not await answers(client):  # noqa: ASYNC110 - another process tells nobody
                await asyncio.sleep(0.02)
        yield client


async def answers(client: AsyncClient) -> bool:
    try:
        return (await client.get("/health")).is_success
    except ConnectError:
        return False


async def alembic(environment: dict[str, str], *arguments: str) -> str:
    """What it prints."""
    process = await asyncio.create_subprocess_exec(
        str(BIN / "alembic"),
        *arguments,
        cwd=ROOT,
        env=bare_environment() | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.decode()


async def test_alembic_goes_up_down_and_tells_where_it_is(elsewhere: dict[str, str]) -> None:
    nowhere = elsewhere | {"DATABASE_URL": "postgresql://app@127.0.0.1:1/app"}
    _, sql, history = await asyncio.gather(
        alembic(elsewhere, "upgrade", "head"),
        alembic(nowhere, "upgrade", "head", "--sql"),
        alembic(nowhere, "history", "--verbose"),
    )
    versions = list((ROOT / "alembic" / "versions").glob("*.py"))
    assert "CREATE TABLE users" in sql
    assert sql.count("alembic_version SET version_num") == len(versions) - 1
    assert history.count("Revision ID: ") == len(versions)
    assert "(head)" in await alembic(elsewhere, "current")
    await alembic(elsewhere, "downgrade", "-1")
    connection = await asyncpg.connect(elsewhere["DATABASE_URL"])
    try:
        at = await connection.fetchval("SELECT version_num FROM alembic_version")
    finally:
        await connection.close()
    assert at
    assert f"Revision ID: {at} (head)" not in history


async def test_from_registering_to_being_deleted(
    server: AsyncClient, second: asyncpg.Connection
) -> None:
    for account in (ANN, BOB):
        assert (await server.post("/auth/register", json=account)).status_code == 201
    await second.execute(SUPERUSER)
    given = {"email": ANN["email"], "password": ANN["password"]}
    signed_in = await server.post("/auth/login", json=given)
    assert signed_in.status_code == 200

    old = {"refresh_token": signed_in.json()["refresh_token"]}
    tokens = (await server.post("/auth/refresh", json=old)).json()
    ann = {"Authorization": f"Bearer {tokens['access_token']}"}

    me = await server.get("/users/me", headers=ann)
    assert (me.json()["username"], me.json()["is_superuser"]) == ("ann", True)
    found = (await server.get("/users/search", headers=ann, params={"q": "BOB"})).json()
    assert [user["username"] for user in found] == ["bob"]
    listed = (await server.get("/users/", headers=ann)).json()
    assert (listed["total"], len(listed["items"])) == (2, 2)

    bob = f"/users/{found[0]['id']}"
    assert (await server.delete(bob, headers=ann)).status_code == 204
    assert (await server.get(bob, headers=ann)).status_code == 404
    assert await second.fetchval("SELECT count(*) FROM users") == 1
