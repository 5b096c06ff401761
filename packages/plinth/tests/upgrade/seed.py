"""Create over HTTP the tokens, cursors and keys that clients of a running project hold."""

from dataclasses import dataclass
from typing import Any

from httpx2 import Client, Response

PASSWORD = "Correct-Horse-7"
EMAIL = "ann@example.com"
NOTE = {"title": "the first"}
KEY = "retry-after-the-upgrade"


@dataclass(frozen=True, slots=True)
class Seed:
    """
    Attributes:
        next_page: the link to the second page of notes, with its cursor.
        created: the response to the request with the idempotency key.
    """

    user: dict[str, Any]
    access_token: str
    refresh_token: str
    next_page: str
    created: dict[str, Any]

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access_token}"}


def sow(client: Client) -> Seed:
    register = {"email": EMAIL, "username": "ann", "password": PASSWORD}
    user = _json(client.post("/auth/register", json=register), 201)
    kept = log_in(client)
    token = {"Authorization": f"Bearer {kept['access_token']}"}
    created = _json(create_note(client, token), 201)
    for title in ("the second", "the third"):
        _json(client.post("/notes/", json={"title": title}, headers=token), 201)
    page = _json(client.get("/notes/?limit=1", headers=token), 200)
    assert page["next"]
    return Seed(user, kept["access_token"], kept["refresh_token"], page["next"], created)


def log_in(client: Client) -> dict[str, Any]:
    return _json(client.post("/auth/login", json={"email": EMAIL, "password": PASSWORD}), 200)


def create_note(client: Client, headers: dict[str, str]) -> Response:
    return client.post("/notes/", json=NOTE, headers=headers | {"Idempotency-Key": KEY})


def _json(response: Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    found: dict[str, Any] = response.json()
    return found
