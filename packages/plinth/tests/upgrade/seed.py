"""Create over HTTP the tokens, cursors and keys that clients of a running project hold."""

from dataclasses import dataclass
from typing import Any

from httpx2 import Client, Response

from tests.support.schemas import ask

PASSWORD = "Correct-Horse-7"
EMAIL = "ann@example.com"
PHONE = "+44 20 7946 0018"
NOTE = {"title": "the first"}
KEY = "retry-after-the-upgrade"


@dataclass(frozen=True, slots=True)
class Seed:
    """
    Attributes:
        refresh_token: of a session that the new release continues.
        other_refresh_token: of one that the old release continues, to get an access token.
        next_page: the link to the second page of notes, with its cursor.
        created: the response to the request with the idempotency key.
    """

    user: dict[str, Any]
    refresh_token: str
    other_refresh_token: str
    next_page: str
    created: dict[str, Any]


def create_seed(client: Client) -> Seed:
    register = {"email": EMAIL, "username": "ann", "password": PASSWORD, "phone": PHONE}
    user = _json(client.post("/auth/register", json=register), 201)
    tokens = log_in(client)
    headers = bearer(tokens["access_token"])
    created = _json(create_note(client, headers), 201)
    for title in ("the second", "the third"):
        _json(client.post("/notes/", json={"title": title}, headers=headers), 201)
    page = _json(client.get("/notes/?limit=1", headers=headers), 200)
    assert page["next"]
    other = log_in(client)["refresh_token"]
    return Seed(user, tokens["refresh_token"], other, page["next"], created)


def log_in(client: Client) -> dict[str, Any]:
    return _json(client.post("/auth/login", json={"email": EMAIL, "password": PASSWORD}), 200)


def refresh(client: Client, token: str) -> dict[str, Any]:
    return _json(client.post("/auth/refresh", json={"refresh_token": token}), 200)


def create_note(client: Client, headers: dict[str, str]) -> Response:
    return client.post("/notes/", json=NOTE, headers=headers | {"Idempotency-Key": KEY})


def bearer(access_token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {access_token}"}


def register(client: Client, name: str) -> dict[str, Any]:
    """Register a user and return the credentials."""
    credentials = {"email": f"{name}@example.com", "password": PASSWORD}
    _json(client.post("/auth/register", json={**credentials, "username": name}), 201)
    return credentials


def add_superuser(client: Client, url: str) -> dict[str, str]:
    """Return the headers of a new superuser's session."""
    credentials = register(client, "root")
    ask(url, "UPDATE users SET is_superuser = true WHERE username = 'root' RETURNING 1")
    return bearer(_json(client.post("/auth/login", json=credentials), 200)["access_token"])


def impersonate(client: Client, superuser: dict[str, str], email: str) -> dict[str, Any]:
    """Return the tokens of a session in which the superuser acts as the user."""
    found = client.get("/users/search", params={"q": email}, headers=superuser).json()
    (user_id,) = [it["id"] for it in found]
    path = f"/users/{user_id}/impersonation"
    return _json(client.post(path, json={"reason": "test"}, headers=superuser), 201)


def _json(response: Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    found: dict[str, Any] = response.json()
    return found
