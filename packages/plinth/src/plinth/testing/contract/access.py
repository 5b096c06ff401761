"""Each route is what it declares: called over HTTP in every role, a team's own routes included."""

import pytest
from httpx2 import Response

from plinth.accounts.services.authentication import InactiveUser
from plinth.errors import PlinthError, Unauthenticated
from plinth.http.problems import find_status
from plinth.request.conventions import Failure
from plinth.resources.access import (
    OWNER,
    OWNER_OR_DENIED,
    PUBLIC,
    SUPERUSER,
    USER,
    VERIFIED,
    Audience,
)
from plinth.testing.operations import JSON, Operation, find_operations, skip_unjudged
from plinth.testing.people import People
from plinth.testing.scene import MARK, Scene

OPERATIONS = find_operations()
REFUSED = {Unauthenticated(): "nobody known", InactiveUser(): "inactive"}
NOBODY = {"anonymous": "nobody known", "revoked": "nobody known", "deactivated": "inactive"}
EVERYONE = ("anonymous", "revoked", "deactivated", "unverified", "other", "owner", "superuser")
SIGNED_IN = ("unverified", "other", "owner", "superuser")
EXPECTED: dict[Audience, dict[str, str]] = {
    PUBLIC: dict.fromkeys(EVERYONE, "let in"),
    USER: dict.fromkeys(SIGNED_IN, "let in") | NOBODY,
    VERIFIED: dict.fromkeys(SIGNED_IN, "let in") | NOBODY | {"unverified": "not allowed"},
    OWNER: {"owner": "let in", "superuser": "let in"}
    | dict.fromkeys(("unverified", "other"), "not theirs")
    | NOBODY,
    OWNER_OR_DENIED: {"owner": "let in", "superuser": "let in"}
    | dict.fromkeys(("unverified", "other"), "not allowed")
    | NOBODY,
    SUPERUSER: dict.fromkeys(SIGNED_IN, "not allowed") | {"superuser": "let in"} | NOBODY,
}
UNCOUNTED = "the queries of a success are not counted"
every = pytest.mark.parametrize("operation", OPERATIONS, ids=str)


HOSTILE = {bool: True, int: 424242, str: "2001-01-01T00:00:00Z"}
NEVER_SET = ("id", "owner_id", "version", "is_superuser", "hashed_password", "created_at")


def read(operation: Operation, answer: Response) -> str:
    if answer.status_code < 400:
        return "let in"
    if answer.status_code == 403:
        has_code = operation.conventions.errors is None
        code = answer.json()["code"] if has_code else "denied"
        return "not allowed" if code.endswith("denied") or code == "unverified" else "let in"
    for refusal, meaning in REFUSED.items():
        if is_answer(operation, answer, refusal):
            return meaning
    return "let in"


def is_answer(operation: Operation, answer: Response, error: PlinthError) -> bool:
    """Return whether a response is the one to `error`, in the format of its path."""
    status = find_status(type(error))
    if answer.status_code != status:
        return False
    if (errors := operation.conventions.errors) is None:
        return bool(answer.json()["code"] == error.code)
    request_id = answer.headers["x-request-id"]
    failure = Failure(status, status.phrase, error.detail, error.code, request_id)
    return bool(answer.json() == errors.render(failure).model_dump(mode="json", by_alias=True))


@every
def test_route_declares_access(operation: Operation) -> None:
    assert operation.declaration, (
        "write `@access(USER, queries=…)`, or what fits, under its `@router` line"
    )


@every
def test_declared_query_count_is_low(operation: Operation) -> None:
    """A large one would hold whatever the route did."""
    assert operation.declaration
    assert operation.declaration.queries < 20


@every
async def test_access_matches_declaration(scene: Scene, operation: Operation) -> None:
    assert operation.declaration
    expected = EXPECTED[operation.declaration.audience]
    wrong = {}
    for role in sorted(expected, key=lambda role: expected[role] == "let in"):
        answer = await scene.call(operation, role)
        found = read(operation, answer)
        if expected[role] == "not theirs":
            is_one = bool(operation.path_parameters)
            found = "not theirs" if (answer.status_code == 404) == is_one else found
            found = "shown" if MARK in answer.text else found
        elif expected[role] == "let in" and answer.status_code == 404:
            found = "not found"
        if answer.status_code >= 500:
            found = "a 5xx"
        if found != expected[role] and not was_taken_by_one_before(operation, role, answer):
            wrong[role] = f"{found} ({answer.status_code}), not {expected[role]}: {answer.text}"
    assert wrong == {}, (
        f"{operation} declares {operation.declaration.audience}: depend on the matching type"
        " (CurrentUser, VerifiedUser, Superuser), look up through the owner, or change @access"
    )


def was_taken_by_one_before(operation: Operation, role: str, answer: Response) -> bool:
    """The owner comes before the superuser, and what they deleted is gone."""
    return operation.method == "DELETE" and role == "superuser" and answer.status_code in {401, 404}


def actor(operation: Operation) -> str:
    assert operation.declaration
    return {PUBLIC: "anonymous", SUPERUSER: "superuser"}.get(
        operation.declaration.audience, "owner"
    )


@every
async def test_query_count_within_declaration(
    scene: Scene, statements: list[str], operation: Operation
) -> None:
    assert operation.declaration
    await scene.prepare(operation, whole=True)
    await scene.headers_of(actor(operation))
    statements.clear()

    answer = await scene.call(operation, actor(operation), whole=True)

    most = operation.declaration.queries
    assert len(statements) <= most, (
        f"{operation} sent {len(statements)} statements, and declares {most}: "
        + "\n".join(statements)
        + answer.text
    )
    if answer.status_code >= 400:
        skip_unjudged(
            operation, f"it answers {answer.status_code} to generated values: {UNCOUNTED}"
        )


WRITES = [it for it in OPERATIONS if it.method != "GET" and it.body(JSON)]


@pytest.mark.parametrize("operation", WRITES, ids=str)
async def test_no_mass_assignment(scene: Scene, operation: Operation) -> None:
    if not operation.writes_row:
        skip_unjudged(operation, "its body or answer is no object with an `id` or a `slug`")
    answer = await scene.call(operation, actor(operation))
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        skip_unjudged(operation, f"it refuses generated values: {answer.text}")
    plain = operation.row_of(answer.json())
    for name in {*plain, *NEVER_SET} - operation.settable:
        value = HOSTILE.get(type(plain.get(name)), "hostile")
        answer = await scene.call(operation, actor(operation), more={name: value})
        if answer.status_code != 422:
            assert answer.status_code < 300, answer.text
            row = operation.row_of(answer.json())
            assert row.get(name) != value or plain.get(name) == value, (
                f"{operation} sets {name}: take it out of what comes in"
            )


LISTS = [it for it in OPERATIONS if it.shows_list]


@pytest.mark.parametrize("operation", LISTS, ids=str)
async def test_list_query_count_is_constant(
    scene: Scene, people: People, statements: list[str], operation: Operation
) -> None:
    making = scene.creators_at(operation.path)
    if not making and not operation.path.endswith("/users/"):
        skip_unjudged(operation, "no route creates the rows of its list by a POST to its path")
    costs = []
    for number in (1, 30):
        for _ in range(number):
            await scene.call(making[0], actor(making[0])) if making else await people.add()
        statements.clear()
        answer = await scene.call(operation, actor(operation))
        if (rows := operation.rows_of(answer.json())) is None:
            skip_unjudged(operation, "its answer has several lists")
        assert len(rows) >= min(number, 20), answer.text
        costs.append(len(statements))
    assert costs[1] <= costs[0], "load what belongs to the rows with them, not for each"
