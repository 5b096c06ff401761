"""A client for the admin pages that behaves as a browser does."""

import json
import re
from collections.abc import Mapping
from html import unescape

from httpx2 import AsyncClient, Response

from plinth.testing.people import Person

CSRF = "starlette_admin_csrftoken"


def challenge_of(page: Response) -> str:
    """Return the challenge in the form of the second factor."""
    challenge: str = page.text.partition('name="challenge" value="')[2].partition('"')[0]
    return challenge


class Superuser:
    """Keep the cookies of the pages, and send the requests of their forms and buttons."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client

    async def sign_in(self, person: Person, password: str | None = None) -> Response:
        page = await self.get("/login")
        token = re.search(r'name="csrftoken" value="([^"]+)"', page.text)
        assert token
        return await self.client.post(
            "/admin/login",
            data={
                "csrftoken": unescape(token[1]),
                "email": person.email,
                "password": password or person.password,
            },
        )

    async def send_code(self, challenge: str, code: str) -> Response:
        """Send the second form of a sign-in with a second factor."""
        data = {"csrftoken": self.csrf, "challenge": challenge, "method": "totp", "code": code}
        return await self.client.post("/admin/login", data=data)

    async def begin_passkey(self, challenge: str = "") -> Response:
        """Send the request of the button "Use a passkey"."""
        headers = {"X-CSRFToken": self.csrf}
        return await self.client.post(
            "/admin/login/passkey", data={"challenge": challenge}, headers=headers
        )

    async def send_passkey(self, credential: Mapping[str, object], challenge: str = "") -> Response:
        """Send the form with a passkey: with the challenge of a password, or alone."""
        data = {"csrftoken": self.csrf, "credential": json.dumps(credential)}
        if challenge:
            data |= {"challenge": challenge, "methods": "passkey"}
        return await self.client.post("/admin/login", data=data)

    async def get(self, path: str, **query: str) -> Response:
        return await self.client.get(f"/admin{path}", params=query)

    async def act(self, table: str, name: str, pk: object) -> Response:
        """Send the request of a row's button."""
        return await self.client.post(
            f"/admin/_api/{table}/row-action",
            params={"name": name, "pk": str(pk)},
            headers={"X-CSRFToken": self.csrf},
        )

    async def act_on_many(self, table: str, name: str, *pks: object) -> Response:
        return await self.client.post(
            f"/admin/_api/{table}/action",
            params={"name": name, "pks": [str(pk) for pk in pks]},
            headers={"X-CSRFToken": self.csrf},
        )

    async def save(self, table: str, pk: object | None = None, **values: str) -> Response:
        """Send the form that updates a row, or creates one without `pk`."""
        path, query = (f"/{table}/edit", {"pk": str(pk)}) if pk else (f"/{table}/create", {})
        return await self.client.post(
            f"/admin{path}", params=query, data={"csrftoken": self.csrf, **values}
        )

    @property
    def csrf(self) -> str:
        return self.client.cookies[CSRF]
