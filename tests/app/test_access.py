"""Every route, yours included: who may use it is declared, and guests are refused elsewhere."""

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.resources.access import PUBLIC
from plinth.testing.operations import Operation, find_operations
from plinth.testing.people import People
from plinth.testing.scene import make_scene

OPERATIONS = find_operations()
every_route = pytest.mark.parametrize("operation", OPERATIONS, ids=str)


@every_route
def test_a_route_declares_who_may_use_it(operation: Operation) -> None:
    assert operation.declared, (
        "write `@access(USER, queries=...)`, or what fits, below its `@router` line"
    )


@every_route
async def test_a_guest_may_use_public_routes_and_no_others(
    client: AsyncClient, people: People, second: asyncpg.Connection, operation: Operation
) -> None:
    assert operation.declared
    scene = await make_scene(client, people, second, OPERATIONS)
    response = await scene.call(operation, "anonymous")
    is_refused = response.status_code == 401 and response.json()["code"] == "unauthenticated"
    assert is_refused != (operation.declared.who is PUBLIC), (
        "ask for the user by type, `user: CurrentUser`, or declare it `@access(PUBLIC, ...)`"
    )
