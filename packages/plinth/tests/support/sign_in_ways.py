"""Every way to sign in, to continue a session, or to prove an account, for the sign-in matrix.

A way has two steps where it can: `prepare` runs before the state of the account changes, and the
attempt that it returns runs afterwards.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import asyncpg
from httpx2 import AsyncClient, Response

from plinth.testing.people import Person
from tests.support.authenticator import HONEST, Authenticator
from tests.support.factors import App
from tests.support.mail_server import Inbox, token_of
from tests.support.oidc_browser import Browser
from tests.support.oidc_provider import REMOVED, FakeProvider
from tests.support.passkeys import (
    add_passkey,
    begin_factor,
    begin_sign_in,
    begin_step_up,
    send_factor,
    send_step_up,
)
from tests.support.superuser import Superuser, challenge_of

WRONG, NEW = "Wrong-Horse-8", "Better-Horse-9"
NO_CHALLENGE = "A" * 64
Send = Callable[[], Awaitable[Response]]


@dataclass
class Cell:
    """
    Attributes:
        client: the owner's browser, a known device.
        stranger: a browser without cookies at another address, which gets its tokens in the body
            or, in `CookieTransport`, in cookies.
        admin: a superuser, in a session of assurance level 1.
        phone: the authenticator app, confirmed or not.
    """

    client: AsyncClient
    stranger: AsyncClient
    pages: Superuser
    provider: FakeProvider
    inbox: Inbox
    second: asyncpg.Connection
    person: Person
    admin: Person
    phone: App | None = None

    @property
    def code(self) -> str:
        return self.phone.code() if self.phone else "000000"


@dataclass(frozen=True)
class Attempt:
    """
    Attributes:
        send: the request with the right proof.
        fail: a request that counts for the limit.
        limited: the request that the limit refuses; `send` by default.
        is_one_step: nothing precedes the request, so the credentials change while it runs.
    """

    send: Send
    fail: Send
    limited: Send | None = None
    is_one_step: bool = False


def password(cell: Cell) -> Attempt:
    def send(text: str) -> Send:
        body = {"email": cell.person.email, "password": text}
        return lambda: cell.stranger.post("/auth/login", json=body)

    return Attempt(send(cell.person.password), send(WRONG), is_one_step=True)


def form(cell: Cell) -> Attempt:
    def send(text: str) -> Send:
        body = {"username": cell.person.email, "password": text, "grant_type": "password"}
        return lambda: cell.stranger.post("/auth/token", data=body)

    return Attempt(send(cell.person.password), send(WRONG), is_one_step=True)


async def second_factor(cell: Cell) -> Attempt:
    begun = await password(cell).send()
    challenge = begun.json().get("challenge", NO_CHALLENGE)
    if begun.json().get("methods") == []:
        added = await cell.stranger.post("/auth/mfa/totp", json={"challenge": challenge})
        cell.phone = App.of(added.json())

    def send(code: str) -> Send:
        body = {"challenge": challenge, "method": "totp", "code": code}
        return lambda: cell.stranger.post("/auth/mfa", json=body)

    return Attempt(send(cell.code), send("abcdef"))


async def passkey(cell: Cell) -> Attempt:
    key = await add_passkey(cell.client, cell.person)
    credential = key.get(await begin_sign_in(cell.stranger))
    false = key.get(await begin_sign_in(cell.stranger), replace(HONEST, signature=b"x"))
    return Attempt(
        lambda: cell.stranger.post("/auth/passkey", json=credential),
        lambda: cell.stranger.post("/auth/passkey", json=false),
    )


async def passkey_as_second_factor(cell: Cell) -> Attempt:
    key = await add_passkey(cell.client, cell.person)
    challenge = (await password(cell).send()).json()["challenge"]
    options = [await begin_factor(cell.stranger, challenge) for _ in range(2)]
    right, wrong = key.get(options[0]), key.get(options[1], replace(HONEST, signature=b"x"))
    return Attempt(
        lambda: send_factor(cell.stranger, challenge, right),
        lambda: send_factor(cell.stranger, challenge, wrong),
    )


def refresh(cell: Cell) -> Attempt:
    token = [cell.person.tokens["refresh_token"]]

    async def send() -> Response:
        response = await cell.stranger.post("/auth/refresh", json={"refresh_token": token[0]})
        token[0] = response.json().get("refresh_token", token[0])
        return response

    return Attempt(send, send)


async def admin_page(cell: Cell) -> Attempt:
    await cell.second.execute("UPDATE users SET is_superuser = true WHERE id = $1", cell.person.id)
    return Attempt(
        lambda: cell.pages.sign_in(cell.person),
        lambda: cell.pages.sign_in(cell.person, WRONG),
        is_one_step=True,
    )


async def admin_page_after_password(cell: Cell) -> Attempt:
    """Use a passkey in the second form of the page."""
    await cell.second.execute("UPDATE users SET is_superuser = true WHERE id = $1", cell.person.id)
    key = await add_passkey(cell.client, cell.person)
    challenge = challenge_of(await cell.pages.sign_in(cell.person))
    return await _use_on_admin_page(cell, key, challenge)


async def admin_page_by_passkey(cell: Cell) -> Attempt:
    await cell.second.execute("UPDATE users SET is_superuser = true WHERE id = $1", cell.person.id)
    await cell.pages.get("/login")
    return await _use_on_admin_page(cell, await add_passkey(cell.client, cell.person), "")


async def _use_on_admin_page(cell: Cell, key: Authenticator, challenge: str) -> Attempt:
    options = [(await cell.pages.begin_passkey(challenge)).json() for _ in range(2)]
    right, wrong = key.get(options[0]), key.get(options[1], replace(HONEST, signature=b"x"))
    return Attempt(
        lambda: cell.pages.send_passkey(right, challenge),
        lambda: cell.pages.send_passkey(wrong, challenge),
    )


def step_up(cell: Cell) -> Attempt:
    def send(text: str) -> Send:
        body = {"method": "password", "password": text}
        return lambda: cell.stranger.post("/auth/step-up", json=body, headers=cell.person.headers)

    return Attempt(send(cell.person.password), send(WRONG), is_one_step=True)


def step_up_by_code(cell: Cell) -> Attempt:
    def send(code: str) -> Send:
        body = {"method": "totp", "code": code}
        return lambda: cell.stranger.post("/auth/step-up", json=body, headers=cell.person.headers)

    return Attempt(send(cell.code), send("abcdef"), is_one_step=True)


async def step_up_by_passkey(cell: Cell) -> Attempt:
    key = await add_passkey(cell.client, cell.person)
    options = [await begin_step_up(cell.client, cell.person) for _ in range(2)]
    right, wrong = key.get(options[0]), key.get(options[1], replace(HONEST, signature=b"x"))
    return Attempt(
        lambda: send_step_up(cell.stranger, cell.person, right),
        lambda: send_step_up(cell.stranger, cell.person, wrong),
    )


async def password_reset(cell: Cell) -> Attempt:
    async def ask() -> Response:
        return await cell.stranger.post("/auth/password/forgot", json={"email": cell.person.email})

    await ask()
    body = {
        "token": token_of(await cell.inbox.next(cell.person.email, "Set a new password")),
        "password": NEW,
    }
    return Attempt(lambda: cell.stranger.post("/auth/password/reset", json=body), ask, ask)


async def verification_link(cell: Cell) -> Attempt:
    async def ask() -> Response:
        return await cell.stranger.post("/auth/email/resend", headers=cell.person.headers)

    await cell.second.execute("UPDATE users SET is_verified = false WHERE id = $1", cell.person.id)
    await ask()
    body = {"token": token_of(await cell.inbox.next(cell.person.email, "Confirm your e-mail"))}
    path, headers = "/auth/email/verify", cell.person.headers
    return Attempt(lambda: cell.stranger.post(path, json=body, headers=headers), ask, ask)


async def email_code(cell: Cell) -> Attempt:
    asked = await cell.stranger.post("/auth/email-code", json={"email": cell.person.email})
    challenge = asked.json()["challenge"]
    code = token_of(await cell.inbox.next(cell.person.email, "Your code"))

    def send(text: str) -> Send:
        body = {"challenge": challenge, "code": text}
        return lambda: cell.stranger.post("/auth/email-code/verify", json=body)

    return Attempt(send(code), send("wrong"))


async def identity_provider(cell: Cell) -> Attempt:
    await cell.second.execute(
        "INSERT INTO identities (user_id, provider, issuer, subject)"
        " VALUES ($1, 'fake', $2, 'ann-1')",
        cell.person.id,
        cell.provider.url,
    )
    browser = Browser(cell.stranger, cell.provider)
    code = (await browser.get_result())["code"]
    return Attempt(lambda: browser.redeem(code), lambda: browser.redeem(NO_CHALLENGE))


async def untimed_identity_provider(cell: Cell) -> Attempt:
    cell.provider.claims = {"auth_time": REMOVED}
    return await identity_provider(cell)


def impersonation(cell: Cell) -> Attempt:
    path = f"/users/{cell.person.id}/impersonation"

    async def send() -> Response:
        return await cell.stranger.post(path, json={"reason": "test"}, headers=cell.admin.headers)

    return Attempt(send, send, is_one_step=True)


@dataclass(frozen=True)
class Way:
    """
    Attributes:
        route: the route of the attempt, below `API_V1_PREFIX`.
        needs_factor: the account has a confirmed factor, except where the state says otherwise.
    """

    route: str
    prepare: Callable[[Cell], Awaitable[Attempt] | Attempt]
    needs_factor: bool = False


WAYS = {
    "password": Way("/auth/login", password),
    "password form": Way("/auth/token", form),
    "second factor": Way("/auth/mfa", second_factor, needs_factor=True),
    "second factor, passkey": Way("/auth/mfa", passkey_as_second_factor),
    "passkey": Way("/auth/passkey", passkey),
    "refresh": Way("/auth/refresh", refresh),
    "admin page": Way("/admin/login", admin_page),
    "admin page, second factor, passkey": Way("/admin/login", admin_page_after_password),
    "admin page, passkey": Way("/admin/login", admin_page_by_passkey),
    "e-mail code": Way("/auth/email-code/verify", email_code),
    "identity provider": Way("/auth/oidc/token", identity_provider),
    "identity provider, no time": Way("/auth/oidc/token", untimed_identity_provider),
    "impersonation": Way("/users/{user_id}/impersonation", impersonation),
    "step-up, password": Way("/auth/step-up", step_up),
    "step-up, code": Way("/auth/step-up", step_up_by_code, needs_factor=True),
    "step-up, passkey": Way("/auth/step-up", step_up_by_passkey),
    "password reset": Way("/auth/password/reset", password_reset),
    "verification link": Way("/auth/email/verify", verification_link),
}
