"""Whatever comes in, at every route and parameter: a refusal that is documented, never a 5xx."""

import json

import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from plinth.http.problems import MEDIA_TYPE
from plinth.testing.asgi import Answer, send
from plinth.testing.attacks import Attack, Attacker
from plinth.testing.operations import Operation, find_operations, skip_unjudged
from plinth.testing.people import People, Person

OPERATIONS = find_operations()
SHOWN = 20


class Attackers:
    """Sends attacks in one role; when an attack took the role away, comes back as a new user."""

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
            answer = await send(self._app, method, attack.target, headers, attack.body)
            if answer.status == 401:
                self._person = None
            return answer
        return await send(self._app, method, attack.target, headers, attack.body)


def find_fault(operation: Operation, attack: Attack, answer: Answer) -> str | None:
    documented = operation.documented
    if answer.status >= 500:
        return "a 5xx"
    if documented and answer.status not in documented | (
        {404} if "path " in attack.about else set()
    ):
        return f"not documented: {sorted(documented)}; add it to the route's `responses=`"
    if answer.status < 400:
        return None
    media_type, model = operation.error_format(answer.status)
    if answer.headers.get("content-type") != media_type:
        return f"not of the media type {media_type}"
    try:
        model.model_validate_json(answer.body, strict=True)
    except ValidationError as error:
        return f"not a {model.__name__}: {error}"
    return None


def names_nothing(answer: Answer) -> bool:
    """Whether all that is wrong is that it refers to rows which are not there, or not theirs."""
    if answer.status != 422 or answer.headers.get("content-type") != MEDIA_TYPE:
        return False
    return all(error["type"] == "reference" for error in json.loads(answer.body)["errors"])


@pytest.mark.no_cover  # the same thousand times: other tests cover it in less time
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
    there = await people.add()
    attackers = Attackers(app, people, role)
    faults = []
    for attack in Attacker(operation, {"user_id": there.id}).attacks():
        answer = await attackers.send(operation, attack)
        if fault := find_fault(operation, attack, answer):
            faults.append(f"{answer.status} {fault}: {attack.about} -> {answer.body[:200]!r}")

    assert not faults, f"{len(faults)} faults at {operation}:\n" + "\n".join(faults[:SHOWN])
    if operation.other_media_types:
        skip_unjudged(operation, f"its body, {operation.other_media_types}, was not tried")
    if not operation.description:
        skip_unjudged(operation, "the OpenAPI document lacks it: only path and headers were tried")


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
async def test_base_request_is_valid(app: FastAPI, people: People, operation: Operation) -> None:
    if operation.other_media_types:
        skip_unjudged(operation, f"no body of {operation.other_media_types} can be generated")
    there = await people.add()
    attack = Attacker(operation, {"user_id": there.id}).valid()

    answer = await Attackers(app, people, "superuser").send(operation, attack)

    if names_nothing(answer):
        return
    # What stands behind a user, such as a session, is another's here: 404 is then the right answer.
    found = set(operation.path_parameters) <= {"user_id"}
    assert answer.status not in {404 if found else 422, 405, 422}, (
        f"{operation} refuses {attack}: declare a value that fits, `Field(examples=[...])`, or"
        f" give the test what the path names. {answer.body!r}"
    )
