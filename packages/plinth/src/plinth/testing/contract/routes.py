"""Routes: private unless they are listed as public, and committed before they answer."""

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from plinth import project
from plinth.accounts.deps import get_current_user
from plinth.health import root
from plinth.resources.deps import get_db
from plinth.testing.operations import Operation, find_operations

API = f"{project.find_package()}.api.v1"
every = pytest.mark.parametrize("operation", find_operations(), ids=str)


def find_public_endpoints() -> set[Any]:
    """Return the endpoints of `PUBLIC` in the application's `api/v1`, and of the library's root."""
    package = project.find_package()
    is_there = find_spec(package) and find_spec(f"{package}.api") and find_spec(API)
    public = getattr(import_module(API), "PUBLIC", None) if is_there else None
    if public is None:
        pytest.skip(f"{API} has no list PUBLIC: which routes may be public is not known")
    return {
        context.endpoint
        for router in (root.router, *public)
        for context in iter_route_contexts(router.routes)
    }


def depended_on(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for below in dependant.dependencies:
        yield from depended_on(below)


@every
def test_route_is_private_unless_listed_as_public(operation: Operation) -> None:
    is_public = operation.route.endpoint in find_public_endpoints()
    asks = any(it.call is get_current_user for it in depended_on(operation.route.dependant))
    assert asks != is_public, (
        f"put its router under PRIVATE in {API}, or, if anyone may use it, under PUBLIC"
    )


@every
def test_private_routes_require_authentication(
    operation: Operation,
) -> None:
    is_public = operation.route.endpoint in find_public_endpoints()
    asks = any(it.dependency is get_current_user for it in operation.route.dependencies)
    assert asks != is_public, (
        "include every router of PRIVATE with `dependencies=[Depends(get_current_user)]`"
    )


@every
def test_commit_precedes_response(operation: Operation) -> None:
    sessions = [it for it in depended_on(operation.route.dependant) if it.call is get_db]
    assert all(it.scope == "function" for it in sessions), "ask for `db: DB` of app/api/deps.py"
