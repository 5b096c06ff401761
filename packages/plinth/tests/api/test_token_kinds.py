"""Each kind of token is accepted only on its own route; other routes do not consume it."""

from collections.abc import Awaitable, Callable

import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient, Response

from plinth.security.tokens import read_access_token
from plinth.testing.people import PASSWORD, People
from tests.support.mail_server import Inbox, token_of

Door = Callable[[AsyncClient, str], Awaitable[Response]]


async def get_me(client: AsyncClient, token: str) -> Response:
    return await client.get("/users/me", headers={"Authorization": f"Bearer {token}"})


async def refresh(client: AsyncClient, token: str) -> Response:
    return await client.post("/auth/refresh", json={"refresh_token": token})


async def reset(client: AsyncClient, token: str) -> Response:
    body = {"token": token, "password": "Better-Horse-8"}
    return await client.post("/auth/password/reset", json=body)


async def verify(client: AsyncClient, token: str) -> Response:
    return await client.post("/auth/email/verify", json={"token": token})


ROUTES: dict[str, Door] = {"access": get_me, "refresh": refresh, "reset": reset, "verify": verify}
ROUTE_OF_KIND = {
    "access": "access",
    "refresh": "refresh",
    "reset": "reset",
    "verification": "verify",
    "change of address": "verify",
    "device": None,
    "session id": None,
    "request id": None,
}


async def make_tokens(app: FastAPI, people: People, inbox: Inbox) -> dict[str, str]:
    """Return one token of each kind, of two users: a change of e-mail voids the verification."""
    ann, bob = await people.enter(), await people.enter()
    async with AsyncClient(
        transport=ASGITransport(app, raise_app_exceptions=False), base_url="http://test/api/v1"
    ) as client:
        signed_in = await client.post(
            "/auth/login", json={"email": ann.email, "password": PASSWORD}
        )
        await client.post("/auth/email/resend", headers=ann.headers)
        await client.post("/auth/password/forgot", json={"email": ann.email})
        change = {"email": "new@example.com", "current_password": PASSWORD}
        await client.patch("/users/me", json=change, headers=bob.headers)
    return {
        "access": ann.tokens["access_token"],
        "refresh": ann.tokens["refresh_token"],
        "reset": token_of(await inbox.next(ann.email, "Set a new password")),
        "verification": token_of(await inbox.next(ann.email, "Confirm")),
        "change of address": token_of(await inbox.next("new@example.com", "Confirm")),
        "device": signed_in.cookies["plinth_device"],
        "session id": str(read_access_token(ann.tokens["access_token"]).session_id),
        "request id": signed_in.headers["x-request-id"],
    }


async def test_each_kind_of_token_is_accepted_only_by_its_route(
    app: FastAPI, client: AsyncClient, people: People, inbox: Inbox
) -> None:
    tokens = await make_tokens(app, people, inbox)
    assert set(tokens) == set(ROUTE_OF_KIND)
    for kind, token in tokens.items():
        for route, send in ROUTES.items():
            if route == ROUTE_OF_KIND[kind]:
                continue
            refused = await send(client, token)
            wanted = {401} if route in ("access", "refresh") else {400, 422}
            assert refused.status_code in wanted, (kind, route, refused.text)
    # In this order: a reset ends the session and voids the other links of its account.
    for kind in ("access", "refresh", "verification", "change of address", "reset"):
        own = ROUTE_OF_KIND[kind]
        assert own
        opened = await ROUTES[own](client, tokens[kind])
        assert opened.status_code in (200, 204), (kind, opened.text)


@pytest.mark.parametrize("place", ["query", "cookie", "body"])
async def test_access_token_is_read_only_from_the_header(
    client: AsyncClient, people: People, place: str
) -> None:
    token = (await people.enter()).tokens["access_token"]
    asked = {
        "query": {"params": {"access_token": token, "token": token}},
        "cookie": {"headers": {"Cookie": f"access_token={token}; Authorization=Bearer {token}"}},
        "body": {"data": {"access_token": token}},
    }
    answer = await client.request("GET", "/users/me", **asked[place])  # type: ignore[arg-type]
    assert answer.status_code == 401
