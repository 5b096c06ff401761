"""Access rules for API keys: a key reaches only routes whose permission it has as a scope."""

from http import HTTPStatus

from httpx2 import Response

from plinth.accounts.deps import (
    get_current_user,
    get_direct_user,
    get_optional_user,
    get_superuser,
)
from plinth.errors import Unauthenticated
from plinth.organizations.deps import get_direct_member, get_member
from plinth.testing.contract.access import (
    every,
    find_outcome,
    is_response_of,
)
from plinth.testing.contract.dependencies import walk_dependencies
from plinth.testing.operations import Operation
from plinth.testing.scene import ANY_SCOPE, Scene

REQUIRING = {get_current_user, get_member}
SESSIONS_ONLY = {get_direct_user, get_superuser, get_direct_member}


@every
async def test_api_key_reaches_only_routes_of_its_scopes(
    scene: Scene, operation: Operation
) -> None:
    assert operation.declaration
    permission = operation.declaration.permission
    others = {ANY_SCOPE} | scene.permissions - {permission}
    keys = {  # the last one may delete the row
        "revoked key": await scene.add_key(scene.permissions | {ANY_SCOPE}, revoked=True),
        "key without the scope": await scene.add_key(others),
        "key with the scope": await scene.add_key({permission or ANY_SCOPE}),
    }
    wrong = {}
    for kind, headers in keys.items():
        response = await scene.call_with(operation, headers)
        expected = find_key_outcome(operation, kind)
        if (outcome := describe(operation, response)) != expected:
            wrong[kind] = f"{outcome} ({response.status_code}), not {expected}: {response.text}"
    assert wrong == {}, (
        f"{operation} declares permission={permission!r}. Authenticate by the types of "
        "plinth.accounts.deps, which compare the declaration with the scopes of a key; a route "
        "without a permission is closed to keys."
    )


def find_key_outcome(operation: Operation, kind: str) -> str:
    dependencies = {it.call for it in walk_dependencies(operation.route.dependant)}
    if not (REQUIRING | {get_optional_user}) & dependencies:
        return "allowed"  # without authentication
    if kind == "revoked key":
        return "unauthenticated" if REQUIRING & dependencies else "allowed"
    assert operation.declaration
    reaches = operation.declaration.permission and not dependencies & SESSIONS_ONLY
    return "allowed" if kind == "key with the scope" and reaches else "refused"


def describe(operation: Operation, response: Response) -> str:
    if response.status_code == HTTPStatus.FORBIDDEN:
        return "refused"
    if is_response_of(operation, response, Unauthenticated()):
        return "unauthenticated"
    return find_outcome(operation, response, "allowed")
