"""Dependency rules: each route depends on the user whom its declaration names."""

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from plinth import project
from plinth.accounts.deps import get_current_user, get_fresh_user
from plinth.health import root
from plinth.organizations.deps import get_fresh_member, get_member
from plinth.resources.access import MEMBER
from plinth.resources.deps import get_db
from plinth.testing.operations import Operation, find_operations

API = f"{project.find_package()}.api.v1"
ORGANIZATION = "/organizations/{slug}"
AUTHENTICATING = (get_current_user, get_member)
FRESH = (get_fresh_user, get_fresh_member)
every = pytest.mark.parametrize("operation", find_operations(), ids=str)


@every
def test_route_is_private_unless_listed_as_public(operation: Operation) -> None:
    is_public = operation.route.endpoint in find_public_endpoints()
    authenticates = any(
        it.call in AUTHENTICATING for it in walk_dependencies(operation.route.dependant)
    )
    assert authenticates != is_public, (
        f"{operation} must either authenticate or be public: list its router in PRIVATE or MEMBERS "
        f"of {API}, or in PUBLIC if anyone may use it"
    )


@every
def test_private_routes_require_authentication(operation: Operation) -> None:
    is_public = operation.route.endpoint in find_public_endpoints()
    authenticates = any(it.dependency in AUTHENTICATING for it in operation.route.dependencies)
    assert authenticates != is_public, (
        f"{operation}: include each router of PRIVATE in {API} with "
        "`dependencies=[Depends(get_current_user)]`, and those of MEMBERS with `get_member`"
    )


@every
def test_member_routes_authenticate_the_member(operation: Operation) -> None:
    is_member_route = operation.is_declared(MEMBER)
    included_with = {it.dependency for it in operation.route.dependencies}
    assert (get_member in included_with) == is_member_route, (
        f"{operation}: list a router whose routes declare MEMBER in MEMBERS of {API}, and no other"
    )
    if is_member_route:
        calls = {it.call for it in walk_dependencies(operation.route.dependant)}
        assert get_current_user not in calls, (
            f"{operation}: take the user as `member: Member`, which has the same columns"
        )
        assert ORGANIZATION in operation.path, (
            f"{operation}: give the router the prefix {ORGANIZATION}, so that the path names the "
            "organization"
        )


@every
def test_freshness_matches_declaration(operation: Operation) -> None:
    declares = bool(operation.declaration and operation.declaration.fresh)
    requires = any(it.call in FRESH for it in walk_dependencies(operation.route.dependant))
    assert declares == requires, (
        f"{operation}: a route with `fresh=True` in `@access` takes the user as `FreshUser` or "
        "`FreshMember`, and no other route does"
    )


@every
def test_commit_precedes_response(operation: Operation) -> None:
    sessions = [it for it in walk_dependencies(operation.route.dependant) if it.call is get_db]
    assert all(it.scope == "function" for it in sessions), (
        f"{operation} commits after the response: declare the session as `db: DB`, imported from "
        "app/api/deps.py"
    )


def find_public_endpoints() -> set[Any]:
    """Return the endpoints of `PUBLIC` in the application's `api/v1`, and of the library's root."""
    package = project.find_package()
    exists = find_spec(package) and find_spec(f"{package}.api") and find_spec(API)
    public = getattr(import_module(API), "PUBLIC", None) if exists else None
    if public is None:
        pytest.skip(f"{API} has no list PUBLIC, so it is unknown which routes may be public")
    return {
        context.endpoint
        for router in (root.router, *public)
        for context in iter_route_contexts(router.routes)
    }


def walk_dependencies(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for dependency in dependant.dependencies:
        yield from walk_dependencies(dependency)
