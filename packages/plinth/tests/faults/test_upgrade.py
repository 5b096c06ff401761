"""A rolling deploy: the previous release and this one serve together, on the migrated schema.

The previous release runs from this repository's history. It checks only `revoked_at` and
`expires_at` of sessions. Therefore this release sets them as well, until the next major version.
"""

import asyncio
import json
import subprocess
import sys
import tarfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.db import migrations
from tests.faults.bounds import within
from tests.support.environment import ROOT, bare_environment
from tests.support.postgres import OwnPostgres, own_postgres
from tests.support.serving import SETTINGS, serving
from tests.support.valkey import OwnValkey

BEFORE = "f5fc275"
PASSWORD = "Correct-Horse-7"
MANY = 3000  # more than one request marks
CLEANED = 30
"""Maximum seconds until the worker has deleted the remaining sessions."""
MORE = """
    INSERT INTO sessions (user_id, token_hash, expires_at, ends_at, created_at)
    SELECT $1, sha256(n::text::bytea), 'infinity', 'infinity', now() - interval '1 minute'
    FROM generate_series(1, $2) AS n
"""


@dataclass
class Deploy:
    """Both releases on one database."""

    old: AsyncClient
    new: AsyncClient
    database: asyncpg.Connection
    people: dict[str, "Person"] = field(default_factory=dict)


@dataclass
class Person:
    id: int
    email: str
    tokens: list[dict[str, str]] = field(default_factory=list)
    device: str = ""


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the code of the previous release."""
    packed = subprocess.run(["git", "archive", BEFORE], cwd=ROOT, capture_output=True, check=False)
    if packed.returncode:
        pytest.skip(f"{BEFORE} is not in this clone's history: git fetch --unshallow")
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(fileobj=BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def empty_postgres(folder_once: Path) -> Iterator[OwnPostgres]:
    with own_postgres(folder_once) as server:
        yield server


@pytest.fixture(scope="module")
async def deploy(
    before: Path,
    empty_postgres: OwnPostgres,
    valkey_once: OwnValkey,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Deploy]:
    postgres, valkey = empty_postgres.url, valkey_once.url
    await asyncio.to_thread(migrate, before, postgres)
    logs = tmp_path_factory.mktemp("logs")
    with serving(
        logs,
        command="app.cli",
        cwd=before,
        PYTHONPATH=str(before),
        DATABASE_URL=postgres,
        REDIS_URL=valkey,
    ) as old_server:
        database = await asyncpg.connect(postgres)
        async with AsyncClient(base_url=old_server.url, timeout=30) as old:
            people = {name: await settle(old, database, name) for name in NAMES}
            await asyncio.to_thread(migrations.upgrade, postgres)
            with serving(
                logs, MAIL_WORKER="true", DATABASE_URL=postgres, REDIS_URL=valkey
            ) as new_server:
                async with AsyncClient(base_url=new_server.url, timeout=30) as new:
                    yield Deploy(old, new, database, people)
        await database.close()


def run_plinth(*arguments: str, folder: Path, **settings: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "plinth.cli", *arguments],
        cwd=ROOT,
        env=bare_environment() | SETTINGS | {"DATA_DIR": str(folder)} | settings,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def migrate(code: Path, url: str) -> None:
    settings = SETTINGS | {"DATABASE_URL": url, "PYTHONPATH": str(code)}
    subprocess.run(
        [sys.executable, "-m", "app.cli", "db", "upgrade"],
        cwd=code,
        env=bare_environment() | settings,
        check=True,
        capture_output=True,
    )


NAMES = ("ann", "logs-out", "logs-out-everywhere", "changes", "resets", "inactive", "deleted",
         "whale", "old-everywhere", "old-changes", "device", "root")  # fmt: skip


async def settle(client: AsyncClient, database: asyncpg.Connection, name: str) -> Person:
    """Create a user with two sessions and a known device through the previous release."""
    account = {"email": f"{name}@example.com", "username": name, "password": PASSWORD}
    made = await client.post("/auth/register", json=account)
    assert made.status_code == 201, made.text
    if name == "root":
        await database.execute("UPDATE users SET is_superuser = true WHERE username = $1", name)
    person = Person(made.json()["id"], account["email"])
    for _ in range(2):
        client.cookies.clear()
        person.tokens.append(await sign_in(client, person))
    client.cookies.clear()
    return person


async def sign_in(client: AsyncClient, person: Person) -> dict[str, str]:
    answer = await client.post("/auth/login", json={"email": person.email, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    person.device = answer.cookies["plinth_device"]
    tokens: dict[str, str] = answer.json()
    return tokens


def bearer(tokens: dict[str, str]) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


async def is_live(client: AsyncClient, tokens: dict[str, str]) -> bool:
    return (await client.get("/users/me", headers=bearer(tokens))).status_code == 200


async def refresh(client: AsyncClient, tokens: dict[str, str]) -> dict[str, str] | None:
    answer = await client.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    found: dict[str, str] | None = answer.json() if answer.status_code == 200 else None
    return found


async def check_dead(deploy: Deploy, *given: dict[str, str]) -> None:
    for tokens in given:
        for client in (deploy.old, deploy.new):
            assert not await is_live(client, tokens)
            assert await refresh(client, tokens) is None


async def test_both_releases_accept_each_others_tokens(deploy: Deploy) -> None:
    ann = deploy.people["ann"]
    for person in deploy.people.values():
        for tokens in person.tokens:
            assert await is_live(deploy.old, tokens)
            assert await is_live(deploy.new, tokens)
    first, second = ann.tokens
    for ours, theirs in ((deploy.new, deploy.old), (deploy.old, deploy.new)):
        for tokens in (first, second):
            renewed = await refresh(ours, tokens)
            assert renewed
            assert await is_live(theirs, renewed)
            tokens.update(renewed)
    begun = [await sign_in(deploy.old, ann), await sign_in(deploy.new, ann)]
    for tokens in begun:
        assert await is_live(deploy.old, tokens)
        assert await is_live(deploy.new, tokens)


async def end_one(deploy: Deploy, person: Person) -> list[dict[str, str]]:
    first, second = person.tokens
    answer = await deploy.new.post("/auth/logout", headers=bearer(first))
    assert answer.status_code == 204
    assert await is_live(deploy.old, second)
    return [first]


async def end_all(deploy: Deploy, person: Person) -> list[dict[str, str]]:
    answer = await deploy.new.post("/auth/logout-all", headers=bearer(person.tokens[0]))
    assert answer.status_code == 204
    return person.tokens


async def change_password(deploy: Deploy, person: Person) -> list[dict[str, str]]:
    first, second = person.tokens
    change = {"password": "Other-Horse-8", "current_password": PASSWORD}
    answer = await deploy.new.patch("/users/me", json=change, headers=bearer(first))
    assert answer.status_code == 200
    assert await is_live(deploy.old, first)
    assert await is_live(deploy.new, first)
    return [second]


async def deactivate(deploy: Deploy, person: Person) -> list[dict[str, str]]:
    root = bearer(deploy.people["root"].tokens[0])
    path = f"/users/{person.id}"
    answer = await deploy.new.patch(path, json={"is_active": False}, headers=root)
    assert answer.status_code == 200
    return person.tokens


async def delete(deploy: Deploy, person: Person) -> list[dict[str, str]]:
    root = bearer(deploy.people["root"].tokens[0])
    answer = await deploy.new.delete(f"/users/{person.id}", headers=root)
    assert answer.status_code == 204
    return person.tokens


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("logs-out", end_one),
        ("logs-out-everywhere", end_all),
        ("changes", change_password),
        ("inactive", deactivate),
        ("deleted", delete),
    ],
)
async def test_session_revoked_by_this_release_is_refused_by_both(
    deploy: Deploy, name: str, end: object
) -> None:
    assert callable(end)
    await check_dead(deploy, *(await end(deploy, deploy.people[name])))


async def test_session_revoked_by_the_previous_release_is_refused_by_both(deploy: Deploy) -> None:
    everywhere, changes = deploy.people["old-everywhere"], deploy.people["old-changes"]
    headers = bearer(everywhere.tokens[0])
    assert (await deploy.old.post("/auth/logout-all", headers=headers)).status_code == 204
    await check_dead(deploy, *everywhere.tokens)

    first, second = changes.tokens
    change = {"password": "Other-Horse-8", "current_password": PASSWORD}
    answer = await deploy.old.patch("/users/me", json=change, headers=bearer(first))
    assert answer.status_code == 200
    await check_dead(deploy, second)
    assert await is_live(deploy.new, first)
    epoch = "SELECT credential_epoch FROM users WHERE id = $1"
    assert await deploy.database.fetchval(epoch, changes.id) == 1, "the trigger counted"


async def test_session_started_later_by_the_previous_release_is_live(deploy: Deploy) -> None:
    person = deploy.people["logs-out-everywhere"]
    tokens = await sign_in(deploy.old, person)
    assert await is_live(deploy.new, tokens)
    assert await is_live(deploy.old, tokens)
    answer = await deploy.new.post("/auth/logout-all", headers=bearer(tokens))
    assert answer.status_code == 204
    await check_dead(deploy, tokens)


async def test_earlier_device_cookie_is_valid_until_a_credential_change(deploy: Deploy) -> None:
    person = deploy.people["device"]
    wrong = {"email": person.email, "password": "Wrong-Horse-8"}
    cookie = {"Cookie": f"plinth_device={person.device}"}
    deploy.new.cookies.clear()
    guesses = [await deploy.new.post("/auth/login", json=wrong) for _ in range(6)]
    assert [answer.status_code for answer in guesses] == [401] * 5 + [429]
    on_device = await deploy.new.post("/auth/login", json=wrong, headers=cookie)
    assert on_device.status_code == 401
    await deploy.database.execute("UPDATE users SET hashed_password = 'x' WHERE id = $1", person.id)
    void = await deploy.new.post("/auth/login", json=wrong, headers=cookie)
    assert void.status_code == 429


async def test_many_revoked_sessions_are_refused_by_the_previous_release(
    deploy: Deploy,
) -> None:
    """Sessions in use end at once; the worker deletes the rest."""
    person = deploy.people["whale"]
    await deploy.database.execute(MORE, person.id, MANY)
    oldest = "UPDATE sessions SET created_at = created_at - interval '1 day' WHERE id = $1"
    first, second = person.tokens
    ids = "SELECT id FROM sessions WHERE user_id = $1 ORDER BY created_at DESC LIMIT 2"
    newest, other = [row["id"] for row in await deploy.database.fetch(ids, person.id)]
    assert newest != other
    await deploy.database.execute(oldest, other)

    answer = await deploy.new.post("/auth/logout-all", headers=bearer(second))
    assert answer.status_code == 204
    for tokens in (first, second):
        assert not await is_live(deploy.new, tokens)
    assert not await is_live(deploy.old, second)

    until = time.monotonic() + within(CLEANED)
    while await is_live(deploy.old, first):
        assert time.monotonic() < until
        await asyncio.sleep(0.2)
    await check_dead(deploy, first, second)


async def test_audit_log_of_both_releases_verifies(
    empty_postgres: OwnPostgres, folder_once: Path
) -> None:
    """The audit chain covers the events of both releases and of the migration."""
    found = await asyncio.to_thread(
        run_plinth, "audit", "verify", "--json", folder=folder_once, DATABASE_URL=empty_postgres.url
    )
    verified = json.loads(found)
    assert verified["flaw"] is None
    assert verified["events"] > len(NAMES)


async def test_downgrade_revives_no_session(deploy: Deploy, empty_postgres: OwnPostgres) -> None:
    """Run this test last: the newer release cannot serve afterwards."""
    ann = deploy.people["ann"]
    await deploy.database.execute(
        "UPDATE users SET session_epoch = session_epoch + 1 WHERE id = $1", ann.id
    )
    assert not await is_live(deploy.new, ann.tokens[0])
    assert await is_live(deploy.old, ann.tokens[0]), "the epoch alone says nothing to it"
    await asyncio.to_thread(migrations.downgrade, empty_postgres.url, "5d3e9b07c2a4")
    assert not await is_live(deploy.old, ann.tokens[0])
    assert await refresh(deploy.old, ann.tokens[0]) is None
    again = await sign_in(deploy.old, ann)
    assert await is_live(deploy.old, again)
