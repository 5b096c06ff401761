"""Somebody whose things are there, and everybody else: for a test that calls every route."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import asyncpg
from httpx2 import AsyncClient, Response

from plinth.db.models import Base
from plinth.resources.access import SUPERUSER
from plinth.testing.operations import FORM, JSON, Operation, Schema, skip_unjudged
from plinth.testing.people import PASSWORD, People, Person

MARK = "belongs-to-the-owner"
"""Stands in what the owner has, so that it is seen where it is shown."""
HELP = "Name one in `scene.known`, in a fixture `scene` of yours (docs/how-to/testing.md)."
TAKEN_AWAY = {
    "revoked": "UPDATE sessions SET revoked_at = now() WHERE user_id = $1",
    "deactivated": "UPDATE users SET is_active = false WHERE id = $1",
}


class Scene:
    """
    Attributes:
        owner: whose things are called; other roles must not see them.
        known: parameters of paths, and properties of bodies, that name what is there.
    """

    def __init__(
        self,
        client: AsyncClient,
        people: People,
        second: asyncpg.Connection,
        operations: Sequence[Operation],
        owner: Person,
    ) -> None:
        self._client = client
        self._people = people
        self._second = second
        self._operations = operations
        self.owner = owner
        self._names = {"username": owner.username}  # in a path; in a body it would be taken
        self._headers: dict[str, Mapping[str, str]] = {"anonymous": {}, "owner": owner.headers}
        self.known: dict[str, Any] = {
            "user_id": owner.id,
            "q": MARK,
            "current_password": PASSWORD,
            "refresh_token": owner.tokens["refresh_token"],
        }

    async def call(
        self,
        operation: Operation,
        role: str,
        *,
        whole: bool = False,
        more: Mapping[str, Any] | None = None,
    ) -> Response:
        """The operation on what belongs to the owner, with values that fit.

        Args:
            whole: with the properties that may be left out, too.
            more: properties to send beside.
        """
        await self.prepare(operation, whole=whole)
        headers = await self.headers_of(role)
        answer = await self._send(operation, headers, whole, dict(more or {}))
        if operation.writes_row and operation.path.endswith("}") and answer.is_success:
            name = operation.path_parameters[-1]
            row = operation.row_of(answer.json())
            self.known[name] = row.get(_find_key(name, row), self.known[name])  # a slug may change
        return answer

    async def headers_of(self, role: str) -> Mapping[str, str]:
        if role not in self._headers:
            columns = {"is_verified": role != "unverified", "is_superuser": role == "superuser"}
            person = await self._people.enter(**columns)
            self._headers[role] = person.headers
            if change := TAKEN_AWAY.get(role):
                await self._second.execute(change, person.id)
        return self._headers[role]

    async def prepare(self, operation: Operation, *, whole: bool = False) -> None:
        """Have what the operation names be there; skip the test where that cannot be made."""
        _, schema = operation.open_envelope(operation.body(JSON) or {})
        sent = schema.get("properties", ()) if whole else schema.get("required", ())
        references = [name for name in sent if name.endswith("_id")]
        for name in (*operation.path_parameters, *references):
            if name not in self.known and name not in self._names:
                self.known[name] = await self._make(operation, name)

    async def _make(self, operation: Operation, name: str) -> Any:
        """One of what `{name}` stands for in a path, or refers to in a body, made as its own
        routes make it."""
        table = find_referred(name)
        if table == "users":
            return self.owner.id
        makers = self.creators_of(name) or self.creators_in(table or "")
        if len(makers) != 1:
            found = " and ".join(map(str, makers)) or "no route"
            skip_unjudged(operation, f"{found} may create the object of {{{name}}}. {HELP}")
        creating = makers[0]
        is_theirs = not creating.is_declared(SUPERUSER)
        answer = await self.call(creating, "owner" if is_theirs else "superuser")
        assert answer.status_code < 500, answer.text
        if answer.status_code >= 400:
            skip_unjudged(operation, f"{creating} refused generated values: {answer.text} {HELP}")
        made = creating.row_of(answer.json())
        row = made if isinstance(made, dict) else {}
        if (key := _find_key(name, row)) not in row:
            skip_unjudged(operation, f"{creating} answers without {key!r} at its top level. {HELP}")
        return row[key]

    def creators_of(self, name: str) -> list[Operation]:
        """Return the routes that POST to a collection whose members `{name}` stands for."""
        marker = f"{{{name}}}"
        paths = [it.path for it in self._operations]
        collections = {it.partition(marker)[0].rstrip("/") for it in paths if marker in it}
        return [
            it
            for it in self._operations
            if it.method == "POST" and it.path.rstrip("/") in collections
        ]

    def creators_at(self, path: str) -> list[Operation]:
        """Return the routes that add a row to the list at a path."""
        return [
            it
            for it in self._operations
            if it.method == "POST" and it.writes_row and it.path.rstrip("/") == path.rstrip("/")
        ]

    def creators_in(self, table: str) -> list[Operation]:
        """Return the routes that POST to the collection named like a table."""
        collection = f"/{table.replace('_', '-')}"
        return [
            it
            for it in self._operations
            if it.method == "POST" and it.path.rstrip("/").endswith(collection)
        ]

    async def _send(
        self, operation: Operation, headers: Mapping[str, str], whole: bool, more: dict[str, Any]
    ) -> Response:
        path = operation.path
        for name in operation.path_parameters:
            value = self._names.get(name) or self.known[name]
            path = path.replace(f"{{{name}}}", quote(str(value), safe=""))
        query = {
            name: self.known.get(name, operation.example(name, item["schema"]))
            for name, item in operation.parameters("query").items()
            if item.get("required")
        }
        content, media_type = self._body(operation, whole, more)
        if authorization := headers.get("Authorization"):
            token = authorization.partition(" ")[2]
            headers = {"Authorization": operation.authorization(token)}
        sent = {**headers, "Content-Type": media_type} if content else headers
        return await self._client.request(
            operation.method, f"http://test{path}", params=query, headers=sent, content=content
        )

    def _body(self, operation: Operation, whole: bool, more: dict[str, Any]) -> tuple[str, str]:
        if operation.body(FORM):
            return f"username={self.owner.email}&password={PASSWORD}", FORM
        schema = operation.body(JSON)
        if schema is None:
            return "", ""
        if schema.get("type") == "array":
            item = operation.resolve(schema["items"])
            return json.dumps([self._fill(operation, item, whole, more)]), JSON
        return json.dumps(self._fill(operation, schema, whole, more)), JSON

    def _fill(
        self, operation: Operation, schema: Schema, whole: bool, more: dict[str, Any]
    ) -> dict[str, Any]:
        envelope, inside = operation.open_envelope(schema)
        values = operation.examples(inside, optional=whole)
        known = {name: value for name, value in self.known.items() if name in values}
        filled = values | known | more
        return {envelope: filled} if envelope else filled


def _find_key(name: str, row: Mapping[str, Any]) -> str:
    """The property of a row that `{name}` in a path stands for: `comment_slug` is its `slug`."""
    candidates = (name, name.rpartition("_")[2])
    return next((it for it in candidates if it in row), "id" if name.endswith("id") else name)


def find_referred(name: str) -> str | None:
    """The table that columns of this name refer to."""
    columns = (it.columns[name] for it in Base.metadata.sorted_tables if name in it.columns)
    keys = (key for column in columns for key in column.foreign_keys)
    return next((key.column.table.name for key in keys if key.column.name == "id"), None)


async def make_scene(
    client: AsyncClient,
    people: People,
    second: asyncpg.Connection,
    operations: Sequence[Operation],
) -> Scene:
    owner = await people.enter(is_verified=True, full_name=MARK)
    scene = Scene(client, people, second, operations, owner)
    found = "SELECT id FROM sessions WHERE user_id = $1"
    scene.known["session_id"] = await second.fetchval(found, owner.id)
    return scene
