"""The users and rows with which the contract suite calls every route in every role."""

import json
from collections.abc import Mapping, Sequence, Set
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import asyncpg
from httpx2 import AsyncClient, Response

from plinth.db.models import Base
from plinth.resources.access import MEMBER, SUPERUSER
from plinth.security.api_keys import make_api_key
from plinth.testing.operations import FORM, JSON, Operation, Schema, skip_rule
from plinth.testing.organizations import SceneOrganizations
from plinth.testing.people import PASSWORD, People, Person

MARK = "belongs-to-the-owner"
"""A text in the owner's rows. A response with it shows a row of the owner."""
HELP = "Add one to `scene.known` in your own fixture `scene` (docs/how-to/testing.md)."
ANY_SCOPE = "any:scope"
"""A scope that no route declares."""
ADD_KEY = """
INSERT INTO api_keys (id, user_id, name, hash, scopes, expires_at, revoked_at)
VALUES ($1, $2, 'contract', $3, $4, now() + interval '1 day', CASE WHEN $5 THEN now() END)
"""
REVOCATIONS = {
    "revoked": "UPDATE sessions SET revoked_at = now() WHERE user_id = $1",
    "deactivated": "UPDATE users SET is_active = false WHERE id = $1",
}


class Scene:
    """
    Attributes:
        owner: the user whose rows the other roles must not see.
        known: values of path parameters and body properties that refer to existing rows.
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
        self._names = {"username": owner.username}  # only for paths: in a body it is already taken
        self._headers: dict[str, Mapping[str, str]] = {"anonymous": {}, "owner": owner.headers}
        self._users = {"owner": owner.id}
        self._organizations = SceneOrganizations(second)
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
        optional: bool = False,
        extra: Mapping[str, Any] | None = None,
    ) -> Response:
        """Call the operation on the owner's rows with generated values.

        Args:
            role: see `docs/how-to/testing.md`.
            optional: send the properties that are not required as well.
            extra: more properties to send.
        """
        await self.prepare(operation, optional=optional)
        headers = await self.headers_of(role)
        return await self._call(operation, headers, optional, extra)

    async def call_with(self, operation: Operation, headers: Mapping[str, str]) -> Response:
        """Call the operation on the owner's rows with the headers of another credential."""
        await self.prepare(operation)
        return await self._call(operation, headers, False, None)

    async def _call(
        self,
        operation: Operation,
        headers: Mapping[str, str],
        optional: bool,
        extra: Mapping[str, Any] | None,
    ) -> Response:
        response = await self._send(operation, headers, optional, dict(extra or {}))
        if operation.writes_row and operation.path.endswith("}") and response.is_success:
            name = operation.path_parameters[-1]
            row = operation.extract_row(response.json())
            old = self._find_value(operation, name)
            new = row.get(_find_key(name, row), old)  # a slug may change
            self._set_value(operation, name, new)
        return response

    @property
    def permissions(self) -> Set[str]:
        """The permissions that routes of the application declare."""
        declared = (it.declaration for it in self._operations)
        return {it.permission for it in declared if it and it.permission}

    async def add_key(self, scopes: Set[str], *, revoked: bool = False) -> Mapping[str, str]:
        """Give the owner an API key and return its headers."""
        token = make_api_key(uuid4())
        await self._second.execute(
            ADD_KEY, token.id, self.owner.id, token.hash, sorted(scopes), revoked
        )
        return {"X-API-Key": token.text}

    async def headers_of(self, role: str) -> Mapping[str, str]:
        """Return the headers of the role's user. Create the user on the first call."""
        if role not in self._headers:
            columns = {"is_verified": role != "unverified", "is_superuser": role == "superuser"}
            person = await self._people.enter(**columns)
            self._headers[role], self._users[role] = person.headers, person.id
            if change := REVOCATIONS.get(role):
                await self._second.execute(change, person.id)
        return self._headers[role]

    async def prepare(self, operation: Operation, *, optional: bool = False) -> None:
        """Create the rows that the operation refers to. Skip the test if that is not possible."""
        if operation.is_declared(MEMBER) and self._organizations.slug is None:
            for role in ("member", "other"):
                await self.headers_of(role)
            await self._organizations.add(self._users, MARK)
        _, schema = operation.unwrap_schema(operation.body(JSON) or {})
        sent = schema.get("properties", ()) if optional else schema.get("required", ())
        references = [name for name in sent if name.endswith("_id")]
        for name in (*operation.path_parameters, *references):
            if self._find_value(operation, name) is None:
                self.known[name] = await self._create(operation, name)

    def _find_value(self, operation: Operation, name: str) -> Any:
        """Return the value of a path parameter or a reference, if it is known.

        In the path of an organization, they are the organization and its role `member`.
        """
        if _names_organization(operation, name):
            return self._organizations.slug
        if name == "user_id" and operation.is_declared(MEMBER):
            return self._users["member"]
        return self._names.get(name) or self.known.get(name)

    def _set_value(self, operation: Operation, name: str, value: Any) -> None:
        if _names_organization(operation, name):
            self._organizations.slug = value
        else:
            self.known[name] = value

    async def _create(self, operation: Operation, name: str) -> Any:
        """Create the row for `{name}` in a path or for a reference in a body. Return its key."""
        table = find_referenced_table(name)
        if table == "users":
            return self.owner.id
        creators = self.creators_of(name) or self.creators_in(table or "")
        if len(creators) != 1:
            candidates = " and ".join(map(str, creators)) or "no route"
            skip_rule(operation, f"{candidates} may create the row of {{{name}}}. {HELP}")
        creator = creators[0]
        role = "superuser" if creator.is_declared(SUPERUSER) else "owner"
        response = await self.call(creator, role)
        assert response.status_code < 500, response.text
        if response.status_code >= 400:
            skip_rule(operation, f"{creator} rejected generated values: {response.text} {HELP}")
        content = creator.extract_row(response.json())
        row = content if isinstance(content, dict) else {}
        if (key := _find_key(name, row)) not in row:
            skip_rule(operation, f"the response of {creator} has no top-level {key!r}. {HELP}")
        return row[key]

    def creators_of(self, name: str) -> list[Operation]:
        """Return the routes that POST to the collection before `{name}` in a path."""
        marker = f"{{{name}}}"
        others = [it for it in self._operations if not _names_organization(it, name)]
        paths = [it.path for it in others if marker in it.path]
        collections = {it.partition(marker)[0].rstrip("/") for it in paths}
        return [
            it
            for it in self._operations
            if it.method == "POST" and it.path.rstrip("/") in collections
        ]

    def creators_at(self, path: str) -> list[Operation]:
        """Return the routes that POST a row to the list at `path`."""
        return [
            it
            for it in self._operations
            if it.method == "POST" and it.writes_row and it.path.rstrip("/") == path.rstrip("/")
        ]

    def creators_in(self, table: str) -> list[Operation]:
        """Return the routes that POST to the collection with the name of a table."""
        collection = f"/{table.replace('_', '-')}"
        return [
            it
            for it in self._operations
            if it.method == "POST" and it.path.rstrip("/").endswith(collection)
        ]

    async def _send(
        self,
        operation: Operation,
        headers: Mapping[str, str],
        optional: bool,
        extra: dict[str, Any],
    ) -> Response:
        path = operation.path
        for name in operation.path_parameters:
            value = self._find_value(operation, name)
            path = path.replace(f"{{{name}}}", quote(str(value), safe=""))
        query = {
            name: self.known.get(name, operation.example(name, item["schema"]))
            for name, item in operation.parameters("query").items()
            if item.get("required")
        }
        content, media_type = self._body(operation, optional, extra)
        if authorization := headers.get("Authorization"):
            token = authorization.partition(" ")[2]
            headers = {"Authorization": operation.authorization(token)}
        sent = {**headers, "Content-Type": media_type} if content else headers
        return await self._client.request(
            operation.method, f"http://test{path}", params=query, headers=sent, content=content
        )

    def _body(self, operation: Operation, optional: bool, extra: dict[str, Any]) -> tuple[str, str]:
        if operation.body(FORM):
            return f"username={self.owner.email}&password={PASSWORD}", FORM
        schema = operation.body(JSON)
        if schema is None:
            return "", ""
        if schema.get("type") == "array":
            item = operation.resolve(schema["items"])
            return json.dumps([self._fill(operation, item, optional, extra)]), JSON
        return json.dumps(self._fill(operation, schema, optional, extra)), JSON

    def _fill(
        self, operation: Operation, schema: Schema, optional: bool, extra: dict[str, Any]
    ) -> dict[str, Any]:
        envelope, inner = operation.unwrap_schema(schema)
        values = operation.examples(inner, optional=optional)
        known = {name: value for name, value in self.known.items() if name in values}
        content = values | known | extra
        return {envelope: content} if envelope else content


def _find_key(name: str, row: Mapping[str, Any]) -> str:
    """Return the property for `{name}` in a path, such as `slug` for `comment_slug`."""
    candidates = (name, name.rpartition("_")[2])
    found = (it for it in candidates if row.get(it) is not None)  # null: a row that refers to none
    return next(found, "id" if name.endswith("id") else name)


def _names_organization(operation: Operation, name: str) -> bool:
    return name == "slug" and operation.is_declared(MEMBER)


def find_referenced_table(name: str) -> str | None:
    """Return the table that foreign keys of this name refer to."""
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
    query = "SELECT id FROM sessions WHERE user_id = $1"
    scene.known["scopes"] = sorted(scene.permissions)[:1] or [ANY_SCOPE]
    scene.known["session_id"] = await second.fetchval(query, owner.id)
    return scene
