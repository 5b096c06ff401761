"""A front end in a browser that signs in by an identity provider."""

from secrets import token_urlsafe
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from httpx2 import AsyncClient, Response

from plinth.accounts.providers import make_challenge
from plinth.testing.people import Person
from tests.support.oidc_provider import FakeProvider

TARGET = "https://app.example.com/signed-in"


class Browser:
    """
    Attributes:
        verifier: the secret of the front end.
    """

    def __init__(self, client: AsyncClient, provider: FakeProvider, name: str = "fake") -> None:
        self.client, self.provider, self.name = client, provider, name
        self.verifier = token_urlsafe(32)

    async def start(self, **query: str) -> Response:
        asked = {"redirect_to": TARGET, "code_challenge": make_challenge(self.verifier)} | query
        return await self.client.get(f"/auth/oidc/{self.name}/start", params=asked)

    async def authorize(self, **query: str) -> dict[str, str]:
        """Start, sign in at the provider, and return the parameters of its response."""
        started = await self.start(**query)
        assert started.status_code == 303, started.text
        return self.provider.authorize(started.headers["location"])

    async def call_back(self, response: dict[str, str], name: str | None = None) -> Response:
        return await self.client.get(f"/auth/oidc/{name or self.name}/callback", params=response)

    async def get_result(self, **query: str) -> dict[str, str]:
        """Go to the provider and back; return the parameters that the front end receives."""
        return read_target(await self.call_back(await self.authorize(**query)))

    async def redeem(self, code: str, verifier: str | None = None) -> Response:
        body = {"code": code, "code_verifier": verifier or self.verifier}
        return await self.client.post("/auth/oidc/token", json=body)

    async def sign_in(self, **query: str) -> Response:
        result = await self.get_result(**query)
        assert "code" in result, result
        return await self.redeem(result["code"])

    async def start_link(self, person: Person) -> Response:
        body = {"redirect_to": TARGET, "code_challenge": make_challenge(self.verifier)}
        path = f"/users/me/identities/{self.name}/start"
        return await self.client.post(path, json=body, headers=person.headers)

    async def get_link_code(self, person: Person) -> str:
        opened = await self.open_link(await self.start_link(person))
        assert opened.status_code == 303, opened.text
        response = self.provider.authorize(opened.headers["location"])
        return read_target(await self.call_back(response))["code"]

    async def open_link(self, started: Response) -> Response:
        assert started.status_code == 201, started.text
        url = started.json()["url"].replace("http://localhost:8000", "http://test")
        return await self.client.get(url)

    async def link(self, person: Person) -> Response:
        return await self.finish_link(person, await self.get_link_code(person))

    async def finish_link(self, person: Person, code: str) -> Response:
        body = {"code": code, "code_verifier": self.verifier}
        return await self.client.post(
            "/users/me/identities/link", json=body, headers=person.headers
        )


def read_target(response: Response) -> dict[str, str]:
    """Return the parameters of a redirect to the front end."""
    assert response.status_code == 303, response.text
    url = urlsplit(response.headers["location"])
    assert f"{url.scheme}://{url.netloc}{url.path}" == TARGET
    return dict(parse_qsl(url.query))


async def get_me(client: AsyncClient, tokens: Response) -> Any:
    assert tokens.status_code == 200, tokens.text
    headers = {"Authorization": f"Bearer {tokens.json()['access_token']}"}
    return (await client.get("/users/me", headers=headers)).json()
