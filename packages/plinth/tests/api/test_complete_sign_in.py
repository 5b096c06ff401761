"""A team's sign-in: registration and session in one transaction, with the user as response."""

import re
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from fastapi import APIRouter, FastAPI
from httpx2 import ASGITransport, AsyncClient
from sqlalchemy import update

from app.schemas.user import UserCreate, UserResponse
from plinth import accounts
from plinth.accounts.deps import Resources
from plinth.accounts.models import User
from plinth.accounts.queries.sign_in import Account, Candidate
from plinth.accounts.schemas.auth import Credentials
from plinth.accounts.services import audit
from plinth.accounts.services.authentication import WrongCredentials
from plinth.config import settings
from plinth.db.database import Database
from plinth.errors import Conflict
from plinth.request import client as request_client
from plinth.resources.deps import DB, Client, DatabaseDep
from plinth.security import passwords
from plinth.testing.people import CHEAP_HASH, PASSWORD, People
from tests.support.application import create_app
from tests.support.environment import LIBRARY, ROOT

UNKNOWN_CLIENT = request_client.Client(None, None)
ACCOUNT = {"email": "ada@example.com", "username": "ada", "password": PASSWORD}
ME = f"{settings.API_V1_PREFIX}/users/me"
router = APIRouter()


@router.post("/signup", status_code=201)
async def sign_up(db: DB, account: UserCreate, client: Client, *, fail: bool = False) -> Any:
    user = await accounts.register(db, account)
    signed_in = await accounts.complete_sign_in(db, user, ("password",), client)
    if fail:
        raise Conflict
    return {"user": UserResponse.model_validate(signed_in.user), "tokens": signed_in.tokens}


@router.post("/signin")
async def sign_in(database: DatabaseDep, credentials: Credentials, client: Client) -> Any:
    signed_in = await accounts.sign_in(database, credentials.email, credentials.password, client)
    return {"user": UserResponse.model_validate(signed_in.user), "tokens": signed_in.tokens}


@pytest.fixture
async def team(resources: Resources, database: Database) -> AsyncIterator[AsyncClient]:
    app: FastAPI = create_app()
    app.include_router(router, prefix="/team")
    app.state.resources = resources
    async with AsyncClient(transport=ASGITransport(app), base_url="http://test") as client:
        yield client


@pytest.fixture
def hashings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the functions that the hashing pool ran."""
    done: list[str] = []
    for name in ("_hash", "_verify"):
        work = getattr(passwords, name)

        def note(*values: Any, name: str = name, work: Any = work) -> Any:
            done.append(name)
            return work(*values)

        monkeypatch.setattr(passwords, name, note)
    return done


async def complete(
    database: Database, user: Account, methods: Any = ("password",), *, whole: bool
) -> accounts.SignedIn:
    """
    Args:
        whole: whether the transaction consists only of the sign-in.
    """
    if whole:
        return await accounts.complete_sign_in(database, user, methods, UNKNOWN_CLIENT)
    async with database.transaction() as db:
        return await accounts.complete_sign_in(db, user, methods, UNKNOWN_CLIENT)


def bearer(answer: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {answer['tokens']['access_token']}"}


async def test_register_and_sign_in_compute_one_hash(
    team: AsyncClient, hashings: list[str], database: Database, second: asyncpg.Connection
) -> None:
    answer = await team.post("/team/signup", json=ACCOUNT)

    assert answer.status_code == 201, answer.text
    assert hashings == ["_hash"]
    me = await team.get(ME, headers=bearer(answer.json()))
    assert me.json() == answer.json()["user"]
    refreshed = await team.post(
        f"{settings.API_V1_PREFIX}/auth/refresh",
        json={"refresh_token": answer.json()["tokens"]["refresh_token"]},
    )
    assert refreshed.status_code == 200
    events = await second.fetch("SELECT event, actor_id, session_id FROM events ORDER BY id")
    assert [row["event"] for row in events] == ["user.registered", "session.started"]
    assert {row["actor_id"] for row in events} == {me.json()["id"]}
    assert events[1]["session_id"] == await second.fetchval("SELECT id FROM sessions")
    async with database.transaction() as db:
        assert (await audit.verify(db)).flaw is None


async def test_registration_and_sign_in_roll_back_together(
    team: AsyncClient, second: asyncpg.Connection
) -> None:
    answer = await team.post("/team/signup", params={"fail": True}, json=ACCOUNT)
    assert answer.status_code == 409
    for table in ("users", "sessions", "events"):
        assert await second.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_sign_in_returns_the_user_without_secret_columns(
    team: AsyncClient, people: People, database: Database
) -> None:
    person = await people.add(full_name="Ada Lovelace", is_verified=True)
    answer = await team.post("/team/signin", json={"email": person.email, "password": PASSWORD})
    me = await team.get(ME, headers=bearer(answer.json()))
    assert me.json() == answer.json()["user"]
    assert me.json()["full_name"] == "Ada Lovelace"
    signed_in = await accounts.sign_in(database, person.email, PASSWORD, UNKNOWN_CLIENT)
    assert not hasattr(signed_in.user, "hashed_password")


async def test_session_limit_applies_in_the_callers_transaction(
    people: People,
    database: Database,
    second: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "SESSIONS_PER_USER", 2)
    person = await people.add()
    began = []
    for _ in range(3):
        async with database.transaction() as db:
            user = await db.get_one(User, person.id)
            began.append(await accounts.complete_sign_in(db, user, ("password",), UNKNOWN_CLIENT))
    live = await second.fetch("SELECT id FROM sessions WHERE revoked_at IS NULL")
    assert {row["id"] for row in live} == {it.token.session_id for it in began[1:]}
    ended = await second.fetch("SELECT session_id FROM events WHERE event = 'session.ended'")
    assert [row["session_id"] for row in ended] == [began[0].token.session_id]


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("change", [{"hashed_password": "other"}, {"is_active": False}])
async def test_sign_in_of_a_changed_user_is_refused_and_audited(
    people: People,
    database: Database,
    second: asyncpg.Connection,
    change: dict[str, Any],
    whole: bool,
) -> None:
    person = await people.add()
    proven = Candidate(
        person.id, CHEAP_HASH, is_active=True, is_superuser=False, credential_epoch=0
    )
    async with database.transaction() as db:
        await db.execute(update(User).values(**change))
    with pytest.raises(WrongCredentials):
        await complete(database, proven, whole=whole)
    assert await second.fetchval("SELECT count(*) FROM sessions") == 0
    row = await second.fetchrow("SELECT event, outcome, subject_id FROM events")
    assert tuple(row) == ("session.started", "failure", person.id)


@pytest.mark.parametrize("methods", [(), ("guess",), ("password", "guess")])
async def test_sign_in_requires_known_methods(
    people: People, database: Database, second: asyncpg.Connection, methods: Any
) -> None:
    person = await people.add()
    proven = Candidate(
        person.id, CHEAP_HASH, is_active=True, is_superuser=False, credential_epoch=0
    )
    with pytest.raises(ValueError, match="methods"):
        await complete(database, proven, methods, whole=True)
    assert await second.fetchval("SELECT count(*) FROM sessions") == 0


INSERTS = re.compile(
    r"insert\(\s*(cast\(\s*\"Table\",\s*)?(models\.)?Session\b"
    r"|(?<![\w.])Session\((?!Base)|(?i:insert\s+into\s+\"?sessions\b)"
)


def test_only_start_session_inserts_a_session() -> None:
    """A session inserted elsewhere would bypass the event, the limit and the check of the user."""
    begins = LIBRARY / "accounts" / "queries" / "sign_in.py"
    calls = LIBRARY / "accounts" / "services" / "sessions.py"
    sources = {it: it.read_text() for it in [*(ROOT / "app").rglob("*.py"), *LIBRARY.rglob("*.py")]}
    inserting = {it for it, text in sources.items() if INSERTS.search(text)}
    calling = {it for it, text in sources.items() if "start_session(" in text}
    assert inserting == {begins}, "call `accounts.complete_sign_in`"
    assert calling == {begins, calls}, "call `accounts.complete_sign_in`"
    verb = sources[calls].partition("async def complete_sign_in(")[2].partition("\nasync def ")[0]
    assert sources[calls].count("start_session(") == verb.count("start_session(") == 1
