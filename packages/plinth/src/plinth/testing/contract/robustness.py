"""Robustness rules: bad input and a database outage give documented errors."""

import json

import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from plinth.http.problems import MEDIA_TYPE
from plinth.resources.access import PUBLIC
from plinth.testing.asgi import Answer, send
from plinth.testing.attacks import Attack, AttackGenerator
from plinth.testing.operations import Operation, find_operations, skip_rule
from plinth.testing.outage import INTERNALS, without_database
from plinth.testing.people import People, Person

OPERATIONS = find_operations()
MAX_SHOWN = 20
every = pytest.mark.parametrize("operation", OPERATIONS, ids=str)


@pytest.mark.no_cover  # thousands of similar requests; other tests cover the same code faster
@pytest.mark.parametrize(
    ("operation", "role"),
    [
        pytest.param(operation, role, id=f"{operation} as {role}")
        for operation in OPERATIONS
        for role in ("anonymous", "user", "superuser")
        if operation.is_private or role == "anonymous"
    ],
)
async def test_bad_input_is_refused_as_documented(
    app: FastAPI, people: People, operation: Operation, role: str
) -> None:
    existing = await people.add()
    sender = AttackSender(app, people, role)
    faults = []
    for attack in AttackGenerator(operation, {"user_id": existing.id}).attacks():
        response = await sender.send(operation, attack)
        if fault := find_fault(operation, attack, response):
            faults.append(f"{response.status} {fault}: {attack.about} -> {response.body[:200]!r}")

    assert not faults, "\n".join(
        [f"{operation} handles {len(faults)} bad inputs wrongly:", *faults[:MAX_SHOWN]]
    )
    if operation.other_media_types:
        skip_rule(operation, f"its body ({operation.other_media_types}) was not tested")
    if not operation.description:
        skip_rule(operation, "the OpenAPI document lacks it: only path and headers were tested")


def find_fault(operation: Operation, attack: Attack, response: Answer) -> str | None:
    if response.status >= 500:
        return "is a server error: reject this input in the schema of the route"
    documented = operation.documented_statuses
    if documented and response.status not in documented | (
        {404} if attack.about.startswith("path ") else set()
    ):
        return f"is not documented: {sorted(documented)}; add it to `responses=` of the route"
    if response.status < 400:
        return None
    media_type, model = operation.error_format(response.status)
    if response.headers.get("content-type") != media_type:
        return f"has not the media type {media_type}"
    try:
        model.model_validate_json(response.body, strict=True)
    except ValidationError as error:
        return f"is no valid {model.__name__}: {error}"
    return None


@every
async def test_base_request_is_valid(app: FastAPI, people: People, operation: Operation) -> None:
    if operation.other_media_types:
        skip_rule(operation, f"no body of {operation.other_media_types} can be generated")
    existing = await people.add()
    attack = AttackGenerator(operation, {"user_id": existing.id}).valid()

    response = await AttackSender(app, people, "superuser").send(operation, attack)

    if has_only_missing_references(response):
        return
    # Other rows in the path, such as a session, do not exist, so 404 is right for them.
    exists = set(operation.path_parameters) <= {"user_id"}
    assert response.status not in {404 if exists else 422, 405, 422}, (
        f"{operation} rejects the generated request {attack}: give the field a valid example, "
        "`Field(examples=[...])`, or add the row to `scene.known` (docs/how-to/testing.md). "
        f"Response: {response.body!r}"
    )


def has_only_missing_references(response: Answer) -> bool:
    """Return whether all errors are references to rows that do not exist or belong to others."""
    if response.status != 422 or response.headers.get("content-type") != MEDIA_TYPE:
        return False
    return all(error["type"] == "reference" for error in json.loads(response.body)["errors"])


class AttackSender:
    """Sends attacks in one role. When an attack ends the session, it signs in a new user."""

    def __init__(self, app: FastAPI, people: People, role: str) -> None:
        self._app = app
        self._people = people
        self._role = role
        self._person: Person | None = None

    async def send(self, operation: Operation, attack: Attack) -> Answer:
        method = operation.method
        if self._person is None and self._role != "anonymous":
            self._person = await self._people.enter(is_superuser=self._role == "superuser")
        headers = attack.headers
        if self._person and b"authorization" not in dict(headers):
            credentials = operation.authorization(self._person.tokens["access_token"])
            headers = [(b"authorization", credentials.encode()), *headers]
            response = await send(self._app, method, attack.target, headers, attack.body)
            if response.status == 401:
                self._person = None
            return response
        return await send(self._app, method, attack.target, headers, attack.body)


@every
async def test_database_outage_is_503(app: FastAPI, people: People, operation: Operation) -> None:
    superuser = await people.enter(is_superuser=True)
    credentials = operation.authorization(superuser.tokens["access_token"])
    token = (b"authorization", credentials.encode())
    attack = AttackGenerator(operation, {"user_id": superuser.id}).valid()

    async with without_database(app):
        response = await send(
            app, operation.method, attack.target, [token, *attack.headers], attack.body
        )

    is_public = not operation.is_private or operation.is_declared(PUBLIC)
    assert response.status == 503 or (is_public and response.status < 500), (
        f"{operation} returns {response.status} without the database, expected 503: let "
        f"`plinth.errors.Unavailable` propagate. Response: {response.body[:200]!r}"
    )
    internal = INTERNALS.search(response.body.decode())
    assert internal is None, (
        f"{operation} reveals an internal without the database: {internal}. Remove it from the "
        "response"
    )
    if response.headers["content-type"] == "application/problem+json" and response.status == 503:
        assert response.headers["retry-after"] == "1"
    if not operation.documented_statuses:
        pytest.skip(f"{operation} is not in the OpenAPI document: its statuses are not compared")
    assert response.status in operation.documented_statuses, (
        f"{operation} does not document {response.status}: add "
        "`responses=responses(Unavailable)` to the route"
    )
