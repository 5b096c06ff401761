"""The commands of the guide in separate processes."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from httpx2 import AsyncClient, ConnectError, Response

from plinth.testing.databases import TestServices, empty_database
from tests.support.command import PATIENCE, find_free_port
from tests.support.environment import ROOT, bare_environment

BIN = Path(sys.executable).parent
ANN = {"email": "ann@example.com", "username": "ann", "password": "a-Plinth-4-ann"}
# The data of the guide, which docs/explanation/passwords.md supports.
TEST: dict[str, Any] = {"email": "test@example.com", "username": "testuser", "password": "Test@123"}
ADMIN: dict[str, Any] = {
    "email": "admin@example.com",
    "username": "admin",
    "password": "Admin@123",
    "is_superuser": True,
}
BOB = {"email": "bob@example.com", "username": "bob", "password": "a-Plinth-4-bob"}
SUPERUSER = "UPDATE users SET is_superuser = true WHERE username = 'ann'"


@pytest.fixture
def elsewhere(
    services: TestServices, environment: dict[str, str], worker_id: str
) -> Iterator[dict[str, str]]:
    """The settings of a command with an empty database."""
    with empty_database(services, f"{worker_id}_guide") as url:
        yield environment | {"DATABASE_URL": url}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log file of the server."""
    return tmp_path_factory.mktemp("guide") / "log"


@pytest.fixture(scope="module")
def port(environment: dict[str, str], log: Path) -> Iterator[int]:
    """Start `uvicorn app.main:app --port N` with development settings, and yield the port."""
    port = find_free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [BIN / "uvicorn", "app.main:app", "--port", str(port)],
            cwd=ROOT,
            env=bare_environment() | environment | {"MAIL_WORKER": "false"},
            stdout=output,
            stderr=output,
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
            while not await answers(client):  # noqa: ASYNC110 - another process sends no event
                await asyncio.sleep(0.02)
        yield client


async def answers(client: AsyncClient) -> bool:
    try:
        return (await client.get("/health")).is_success
    except ConnectError:
        return False


async def alembic(environment: dict[str, str], *arguments: str) -> str:
    """Run Alembic and return its output."""
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


async def test_alembic_upgrades_downgrades_and_shows_the_revision(
    elsewhere: dict[str, str],
) -> None:
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


async def test_user_lifecycle_from_registration_to_deletion(
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


async def register(server: AsyncClient, account: dict[str, Any]) -> Response:
    return await server.post("/auth/register", json=account)


async def log_in(server: AsyncClient, account: dict[str, Any], **changes: str) -> Response:
    given = {"email": account["email"], "password": account["password"]} | changes
    return await server.post("/auth/login", json=given)


async def test_guide_registers_its_users(
    server: AsyncClient, second: asyncpg.Connection, log: Path
) -> None:
    for account in (TEST, ADMIN):
        answer = await register(server, account)
        assert answer.status_code == 201, answer.text
        made = answer.json()
        assert (made["email"], made["username"]) == (account["email"], account["username"])
        assert not {"password", "hashed_password"} & set(made)
        assert made["is_superuser"] is False
    assert not await second.fetchval("SELECT bool_or(is_superuser) FROM users")
    tokens = (await log_in(server, ADMIN)).json()
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert (await server.get("/users/", headers=headers)).status_code == 403

    text = await asyncio.to_thread(log.read_text)
    assert "PASSWORD_BLOCKLIST is warn" in text
    assert TEST["password"] not in text
    assert ADMIN["password"] not in text


async def test_guide_is_refused_a_second_account_with_one_email(server: AsyncClient) -> None:
    assert (await register(server, TEST)).status_code == 201
    again = await register(server, TEST | {"username": "another"})
    assert again.status_code == 400
    assert "email already registered" in again.json()["detail"].lower()


async def test_guide_signs_in(server: AsyncClient) -> None:
    await register(server, TEST)
    answer = await log_in(server, TEST)
    assert answer.status_code == 200
    tokens = answer.json()
    assert {"access_token", "refresh_token"} <= set(tokens)
    assert tokens["token_type"] == "bearer"


async def test_guide_is_refused_with_a_wrong_password(server: AsyncClient) -> None:
    await register(server, TEST)
    assert (await log_in(server, TEST, password="WrongPassword123")).status_code == 401


async def test_guide_refreshes_its_token(server: AsyncClient) -> None:
    await register(server, TEST)
    tokens = (await log_in(server, TEST)).json()
    old = {"refresh_token": tokens["refresh_token"]}
    answer = await server.post("/auth/refresh", json=old)
    assert answer.status_code == 200
    assert answer.json()["access_token"]
