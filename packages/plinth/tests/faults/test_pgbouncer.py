"""PgBouncer in transaction mode, with fewer connections to the server than clients."""

import asyncio
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

import pytest
from httpx2 import AsyncClient, Response

from tests.faults.conftest import Measured
from tests.faults.load import PASSWORD, find_missing, loaded
from tests.support.authenticator import Authenticator, Lies
from tests.support.command import plinth
from tests.support.cookies import IN_COOKIES, Page
from tests.support.factors import App
from tests.support.mail_server import Inbox, serving_mail, token_of
from tests.support.pgbouncer import own_pgbouncer
from tests.support.postgres import OwnPostgres
from tests.support.serving import SETTINGS, Serving, serving
from tests.support.valkey import OwnValkey

AT_ONCE = 9  # users, more than the connections to the server
# The front end of `SETTINGS`.
HERE = Lies({"origin": SETTINGS["FRONTEND_URL"]}, rp_id="app.example.com")


@pytest.fixture
def pooled(folder: Path, postgres: OwnPostgres) -> Iterator[str]:
    with own_pgbouncer(folder, postgres) as url:
        yield url


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with serving_mail() as inbox:
        yield inbox


@pytest.fixture
def api(folder: Path, pooled: str, valkey: OwnValkey, inbox: Inbox) -> Iterator[Serving]:
    with serving(
        folder,
        workers=2,
        DATABASE_URL=pooled,
        REDIS_URL=valkey.url,
        DB_PGBOUNCER="true",
        MAIL_POLL_SECONDS="0.2",
        LIMIT_LOGIN_IP="10000/1s",
        AUTH_COOKIES="true",
        EMAIL_CODES="true",
        MAIL_WORKER="true",
        SMTP_HOST="127.0.0.1",
        SMTP_PORT=str(inbox.port),
        SMTP_TLS="none",
    ) as running:
        yield running


async def test_many_clients_are_served_through_pgbouncer(
    api: Serving, postgres: OwnPostgres, measured: Measured
) -> None:
    async with loaded(api.url, writers=12, readers=8) as book:
        await asyncio.sleep(6)
    answered = len(book.answers())
    measured("answered, of these not well", f"{answered}, {len(book.refused | set(book.broken))}")
    book.check()
    assert set(book.statuses()) == {200, 201}
    assert await find_missing(book, postgres.url) == set()


async def test_user_scenario_works_through_pgbouncer(api: Serving) -> None:
    who = {"email": "ada@example.com", "password": PASSWORD}
    async with AsyncClient(base_url=api.url, timeout=30) as client:
        made = await client.post("/auth/register", json={**who, "username": "ada"})
        assert made.status_code == 201, made.text
        for _ in range(5):
            tokens = (await client.post("/auth/login", json=who)).json()
            client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
            assert (await client.get("/users/me")).json()["username"] == "ada"
            named = await client.patch("/users/me", json={"full_name": "Ada"})
            assert named.json()["full_name"] == "Ada", named.text
            found = await client.get("/users/search", params={"q": "ada"})
            assert [it["username"] for it in found.json()] == ["ada"]
            events = (await client.get("/users/me/events")).json()
            assert events[0]["event"] == "session.started"
            again = {"refresh_token": tokens["refresh_token"]}
            assert (await client.post("/auth/refresh", json=again)).status_code == 200
            assert (await client.post("/auth/logout")).status_code == 204
            assert (await client.get("/users/me")).status_code == 401
        assert (await client.get("/health/ready")).json()["status"] == "ready"


async def test_every_way_to_sign_in_works_through_pgbouncer(api: Serving, inbox: Inbox) -> None:
    """Several users at once, with their sessions in cookies, share the connections."""
    async with AsyncClient(base_url=api.url, timeout=30) as client:
        ways = [sign_in_with_an_app, sign_in_with_a_passkey, sign_in_with_a_code]
        people = [f"ann{number}@example.com" for number in range(AT_ONCE)]
        await asyncio.gather(
            *(ways[place % len(ways)](client, inbox, email) for place, email in enumerate(people))
        )


async def sign_in_with_an_app(client: AsyncClient, _: Inbox, email: str) -> None:
    page = await register(client, email)
    added = await page.post("/users/me/factors/totp", json={})
    app = App.of(added.json())
    path = f"/users/me/factors/{app.factor_id}/confirm"
    await expect(204, page.post(path, json={"code": app.code()}))
    made = await page.post("/users/me/recovery-codes")
    proofs = [("totp", app.code(1)), *(("recovery_code", it) for it in made.json()["codes"][:3])]
    for method, code in proofs:
        pending = await begin(client, email)
        body = {"challenge": pending["challenge"], "method": method, "code": code}
        await check_signed_in(client, email, "/auth/mfa", body)
    again = {"challenge": (await begin(client, email))["challenge"]}
    used = {**again, "method": "recovery_code", "code": proofs[-1][1]}
    await expect(400, client.post("/auth/mfa", json=used))


async def sign_in_with_a_passkey(client: AsyncClient, _: Inbox, email: str) -> None:
    page, passkey = await register(client, email), Authenticator()
    options = await page.post("/users/me/factors/passkey/options")
    body = {"name": "Laptop", "credential": passkey.create(options.json(), HERE)}
    await expect(201, page.post("/users/me/factors/passkey", json=body))
    for _number in range(3):
        begun = (await client.post("/auth/passkey/options")).json()
        credential = passkey.get(begun, HERE)
        page = await check_signed_in(client, email, "/auth/passkey", credential)
        await expect(400, client.post("/auth/passkey", json=credential))
        challenge = (await begin(client, email))["challenge"]
        asked = await client.post("/auth/mfa/passkey/options", json={"challenge": challenge})
        body = {"challenge": challenge, "method": "passkey"}
        body |= {"credential": passkey.get(asked.json(), HERE)}
        await check_signed_in(client, email, "/auth/mfa", body)
        asked = await page.post("/auth/step-up/passkey/options")
        proof = {"method": "passkey", "credential": passkey.get(asked.json(), HERE)}
        await expect(204, page.post("/auth/step-up", json=proof))


async def sign_in_with_a_code(client: AsyncClient, inbox: Inbox, email: str) -> None:
    await register(client, email)
    for _number in range(3):
        asked = await expect(202, client.post("/auth/email-code", json={"email": email}))
        code = token_of(await inbox.next(email, "Your code"))
        body = {"challenge": asked.json()["challenge"], "code": code}
        await check_signed_in(client, email, "/auth/email-code/verify", body)
        await expect(400, client.post("/auth/email-code/verify", json=body))


async def register(client: AsyncClient, email: str) -> Page:
    who = {"email": email, "password": PASSWORD}
    username = email.partition("@")[0]
    await expect(201, client.post("/auth/register", json={**who, "username": username}))
    return await check_signed_in(client, email, "/auth/login", who)


async def begin(client: AsyncClient, email: str) -> dict[str, Any]:
    who = {"email": email, "password": PASSWORD}
    pending = await expect(403, client.post("/auth/login", json=who))
    return dict(pending.json())


async def check_signed_in(client: AsyncClient, email: str, path: str, body: dict[str, Any]) -> Page:
    """Sign in with the session in cookies, refresh it, and read the account."""
    page = Page(client)
    await expect(204, page.post(path, json=body, headers=IN_COOKIES))
    await expect(204, page.refresh())
    await page.fetch_csrf_token()
    assert (await page.get("/users/me")).json()["email"] == email
    return page


async def expect(status: int, response: Awaitable[Response]) -> Response:
    answer = await response
    assert answer.status_code == status, answer.text
    return answer


def test_migrations_require_a_direct_connection(
    pooled: str, postgres: OwnPostgres, valkey: OwnValkey
) -> None:
    settings = SETTINGS | {
        "DATABASE_URL": pooled,
        "REDIS_URL": valkey.url,
        "DB_PGBOUNCER": "true",
    }
    refused = plinth("db", "upgrade", **settings)
    assert refused.returncode == 1
    assert "DIRECT_DATABASE_URL" in refused.stderr
    done = plinth("db", "upgrade", **settings, DIRECT_DATABASE_URL=postgres.url)
    assert done.returncode == 0, done.stderr
