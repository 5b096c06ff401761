"""Access rules: each route declares who may use it, and a call in every role confirms it."""

import pytest
from httpx2 import Response

from plinth.accounts.services.authentication import InactiveUser
from plinth.errors import PlinthError, Unauthenticated
from plinth.http.problems import find_status
from plinth.request.conventions import Failure
from plinth.resources.access import (
    MEMBER,
    OWNER,
    OWNER_OR_DENIED,
    PUBLIC,
    SUPERUSER,
    USER,
    VERIFIED,
    AccessDeclaration,
    Audience,
)
from plinth.testing.operations import JSON, Operation, find_operations, skip_rule
from plinth.testing.people import People
from plinth.testing.scene import MARK, Scene

OPERATIONS = find_operations()
ERROR_OUTCOMES = {Unauthenticated(): "unauthenticated", InactiveUser(): "inactive"}
NO_USER = {
    "anonymous": "unauthenticated",
    "revoked": "unauthenticated",
    "deactivated": "inactive",
}
ALL_ROLES = ("anonymous", "revoked", "deactivated", "unverified", "other", "owner", "superuser")
SIGNED_IN = ("unverified", "other", "owner", "superuser")
EXPECTED: dict[Audience, dict[str, str]] = {
    PUBLIC: dict.fromkeys(ALL_ROLES, "allowed"),
    USER: dict.fromkeys(SIGNED_IN, "allowed") | NO_USER,
    VERIFIED: dict.fromkeys(SIGNED_IN, "allowed") | NO_USER | {"unverified": "forbidden"},
    OWNER: {"owner": "allowed", "superuser": "allowed"}
    | dict.fromkeys(("unverified", "other"), "hidden")
    | NO_USER,
    OWNER_OR_DENIED: {"owner": "allowed", "superuser": "allowed"}
    | dict.fromkeys(("unverified", "other"), "forbidden")
    | NO_USER,
    SUPERUSER: dict.fromkeys(SIGNED_IN, "forbidden") | {"superuser": "allowed"} | NO_USER,
    MEMBER: {"owner": "allowed", "member": "allowed"}
    | dict.fromkeys(("unverified", "other", "superuser"), "hidden")
    | NO_USER,
}
WITHOUT_PERMISSION = {"member": "forbidden"}
INVALID_VALUES = {bool: True, int: 424242, str: "2001-01-01T00:00:00Z"}
PROTECTED_FIELDS = ("id", "owner_id", "version", "is_superuser", "hashed_password", "created_at")
MAX_DECLARED_QUERIES = 20

WRITES = [it for it in OPERATIONS if it.method != "GET" and it.body(JSON)]
LISTS = [it for it in OPERATIONS if it.returns_list]
every = pytest.mark.parametrize("operation", OPERATIONS, ids=str)


@every
def test_route_declares_access(operation: Operation) -> None:
    assert operation.declaration, (
        f"{operation} has no access declaration: add `@access(USER, queries=N)` below its "
        "`@router` line, with the audience of the route"
    )


@every
def test_declared_query_count_is_low(operation: Operation) -> None:
    """A high limit would never fail."""
    assert operation.declaration
    assert operation.declaration.queries < MAX_DECLARED_QUERIES, (
        f"{operation} declares queries={operation.declaration.queries}: declare what it sends, "
        f"fewer than {MAX_DECLARED_QUERIES}"
    )


@every
async def test_access_matches_declaration(scene: Scene, operation: Operation) -> None:
    assert operation.declaration
    expected = find_expected(operation.declaration, operation.path)
    wrong = {}
    for role in sorted(expected, key=lambda role: expected[role] == "allowed"):
        response = await scene.call(operation, role)
        outcome = find_outcome(operation, response, expected[role])
        if outcome != expected[role] and not is_deleted_by_owner(operation, role, response):
            wrong[role] = (
                f"{outcome} ({response.status_code}), expected {expected[role]}: {response.text}"
            )
    assert wrong == {}, (
        f"{operation} declares {operation.declaration.audience}, but a role gets another outcome. "
        "Depend on the matching type (CurrentUser, VerifiedUser, Superuser, Member), select the "
        "row by its owner or organization, or change @access."
    )


def find_expected(declaration: AccessDeclaration, path: str) -> dict[str, str]:
    """Return the outcome for each role."""
    expected = EXPECTED[declaration.audience]
    if declaration.audience is OWNER and "/me/" in path:
        return expected | {"superuser": "hidden"}  # superusers have their own
    if declaration.audience is MEMBER and declaration.permission is not None:
        return expected | WITHOUT_PERMISSION
    return expected


def find_outcome(operation: Operation, response: Response, expected: str) -> str:
    status = response.status_code
    if status >= 500:
        return "server error"
    if expected == "hidden":
        if MARK in response.text:
            return "shown"
        if (status == 404) == bool(operation.path_parameters):
            return "hidden"
    if expected == "allowed" and status == 404:
        return "not found"
    return classify(operation, response)


def classify(operation: Operation, response: Response) -> str:
    if response.status_code < 400:
        return "allowed"
    if response.status_code == 403:
        has_code = operation.conventions.errors is None
        code = response.json()["code"] if has_code else "denied"
        return "forbidden" if code.endswith("denied") or code == "unverified" else "allowed"
    for error, outcome in ERROR_OUTCOMES.items():
        if is_response_of(operation, response, error):
            return outcome
    return "allowed"


def is_response_of(operation: Operation, response: Response, error: PlinthError) -> bool:
    """Return whether the response is that of `error`, in the error format of the path."""
    status = find_status(type(error))
    if response.status_code != status:
        return False
    if (errors := operation.conventions.errors) is None:
        return bool(response.json()["code"] == error.code)
    request_id = response.headers["x-request-id"]
    failure = Failure(status, status.phrase, error.detail, error.code, request_id)
    return bool(response.json() == errors.render(failure).model_dump(mode="json", by_alias=True))


def is_deleted_by_owner(operation: Operation, role: str, response: Response) -> bool:
    """The call as the owner comes first, so the superuser may find the row deleted."""
    is_gone = response.status_code in {401, 404}
    return operation.method == "DELETE" and role == "superuser" and is_gone


@every
async def test_query_count_within_declaration(
    scene: Scene, statements: list[str], operation: Operation
) -> None:
    assert operation.declaration
    await scene.prepare(operation, optional=True)
    await scene.headers_of(actor(operation))
    statements.clear()

    response = await scene.call(operation, actor(operation), optional=True)

    limit = operation.declaration.queries
    assert len(statements) <= limit, (
        f"{operation} sent {len(statements)} statements, but declares queries={limit}. Send fewer, "
        "or change @access:\n" + "\n".join([*statements, response.text])
    )
    if response.status_code >= 400:
        skip_rule(
            operation,
            f"it returns {response.status_code} for generated values, so the queries of a success "
            "are not counted",
        )


@pytest.mark.parametrize("operation", WRITES, ids=str)
async def test_no_mass_assignment(scene: Scene, operation: Operation) -> None:
    if not operation.writes_row:
        skip_rule(operation, "its body or its response is no object with an `id` or a `slug`")
    response = await scene.call(operation, actor(operation))
    assert response.status_code < 500, response.text
    if response.status_code >= 400:
        skip_rule(operation, f"it rejects generated values: {response.text}")
    original = operation.extract_row(response.json())
    for name in {*original, *PROTECTED_FIELDS} - operation.settable_fields:
        value = INVALID_VALUES.get(type(original.get(name)), "hostile")
        response = await scene.call(operation, actor(operation), extra={name: value})
        if response.status_code != 422:
            assert response.status_code < 300, response.text
            row = operation.extract_row(response.json())
            assert row.get(name) != value or original.get(name) == value, (
                f"{operation} sets {name}, which is not in its schema: copy only the fields of the "
                "schema to the row"
            )


@pytest.mark.parametrize("operation", LISTS, ids=str)
async def test_list_query_count_is_constant(
    scene: Scene, people: People, statements: list[str], operation: Operation
) -> None:
    creators = scene.creators_at(operation.path)
    if not creators and not operation.path.endswith("/users/"):
        skip_rule(operation, "no route creates the rows of its list by a POST to its path")
    counts = []
    for number in (1, 30):
        for _ in range(number):
            if creators:
                await scene.call(creators[0], actor(creators[0]))
            else:
                await people.add()
        statements.clear()
        response = await scene.call(operation, actor(operation))
        if (rows := operation.extract_rows(response.json())) is None:
            skip_rule(operation, "its response has several lists")
        assert len(rows) >= min(number, 20), response.text
        counts.append(len(statements))
    assert counts[1] <= counts[0], (
        f"{operation} sends {counts[0]} statements for one row and {counts[1]} for thirty: load "
        "related rows with one query for the page (`selectinload`)"
    )


def actor(operation: Operation) -> str:
    """Return the role that is allowed to call the operation."""
    assert operation.declaration
    roles = {PUBLIC: "anonymous", SUPERUSER: "superuser"}
    return roles.get(operation.declaration.audience, "owner")
