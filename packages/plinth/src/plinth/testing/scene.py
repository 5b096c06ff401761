"""Somebody whose things are there, and everybody else: for a test that calls every route."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
from httpx2 import AsyncClient, Response

from plinth.db.models import Base
from plinth.resources.access import SUPERUSER
from plinth.testing.operations import Operation, Schema
from plinth.testing.people import PASSWORD, People, Person

JSON, FORM = "application/json", "application/x-www-form-urlencoded"
MARK = "belongs-to-the-owner"
"""Stands in what the owner has, so that it is seen where it is shown."""
TAKEN_AWAY = {
    "revoked": "UPDATE sessions SET revoked_at = now() WHERE user_id = $1",
    "deactivated": "UPDATE users SET is_active = false WHERE id = $1",
}


class Scene:
    """
    Attributes:
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
        self._owner = owner
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
        return await self._send(operation, await self.headers_of(role), whole, dict(more or {}))

    async def headers_of(self, role: str) -> Mapping[str, str]:
        if role not in self._headers:
            columns = {"is_verified": role != "unverified", "is_superuser": role == "superuser"}
            person = await self._people.enter(**columns)
            self._headers[role] = person.headers
            if change := TAKEN_AWAY.get(role):
                await self._second.execute(change, person.id)
        return self._headers[role]

    async def prepare(self, operation: Operation, *, whole: bool = False) -> None:
        """Have what the operation names be there."""
        schema = operation.body(JSON) or {}
        sent = schema.get("properties", ()) if whole else schema.get("required", ())
        references = [name for name in sent if name.endswith("_id")]
        for name in (*operation.path_parameters, *references):
            if name not in self.known:
                self.known[name] = await self._make(name)

    async def _make(self, name: str) -> int:
        """One of what `{name}` stands for in a path, or refers to in a body, made as its own
        routes make it."""
        table = find_referred(name)
        if table == "users":
            return self._owner.id
        creating = self.creator_of(name) or self.creator_in(table or "")
        assert creating, f"no route creates what {name} refers to: set scene.known[{name!r}]"
        is_theirs = creating.declared is None or creating.declared.who is not SUPERUSER
        answer = await self.call(creating, "owner" if is_theirs else "superuser")
        assert answer.status_code == 201, answer.text
        made: int = answer.json()["id"]
        return made

    def creator_of(self, name: str) -> Operation | None:
        suffix = f"{{{name}}}"
        collections = {it.path.removesuffix(suffix) for it in self._operations if suffix in it.path}
        makers = (it for it in self._operations if it.method == "POST" and it.path in collections)
        return next(makers, None)

    def creator_in(self, table: str) -> Operation | None:
        collection = f"/{table.replace('_', '-')}/"
        makers = (it for it in self._operations if it.method == "POST")
        return next((it for it in makers if it.path.endswith(collection)), None)

    async def _send(
        self, operation: Operation, headers: Mapping[str, str], whole: bool, more: dict[str, Any]
    ) -> Response:
        path = operation.path
        for name in operation.path_parameters:
            path = path.replace(f"{{{name}}}", str(self.known[name]))
        query = {
            name: self.known.get(name, operation.example(name, item["schema"]))
            for name, item in operation.parameters("query").items()
            if item.get("required")
        }
        content, media_type = self._body(operation, whole, more)
        sent = {**headers, "Content-Type": media_type} if content else headers
        return await self._client.request(
            operation.method, f"http://test{path}", params=query, headers=sent, content=content
        )

    def _body(self, operation: Operation, whole: bool, more: dict[str, Any]) -> tuple[str, str]:
        if operation.body(FORM):
            return f"username={self._owner.email}&password={PASSWORD}", FORM
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
        values = operation.examples(schema, optional=whole)
        known = {name: value for name, value in self.known.items() if name in values}
        return values | known | more


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
