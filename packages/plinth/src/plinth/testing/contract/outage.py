"""The database is away: every route that needs it answers 503, and none reveals an internal."""

import pytest
from fastapi import FastAPI

from plinth.resources.access import PUBLIC
from plinth.testing.asgi import send
from plinth.testing.attacks import Attacker
from plinth.testing.operations import Operation, find_operations
from plinth.testing.outage import INTERNALS, without_database
from plinth.testing.people import People


@pytest.mark.parametrize("operation", find_operations(), ids=str)
async def test_database_outage_is_503(app: FastAPI, people: People, operation: Operation) -> None:
    superuser = await people.enter(is_superuser=True)
    credentials = operation.authorization(superuser.tokens["access_token"])
    token = (b"authorization", credentials.encode())
    attack = Attacker(operation, {"user_id": superuser.id}).valid()

    async with without_database(app):
        answer = await send(
            app, operation.method, attack.target, [token, *attack.headers], attack.body
        )

    is_public = not operation.is_private or operation.is_declared(PUBLIC)
    assert answer.status < 500 or answer.status == 503
    assert answer.status == 503 or is_public
    assert not INTERNALS.search(answer.body.decode())
    if answer.headers["content-type"] == "application/problem+json" and answer.status == 503:
        assert answer.headers["retry-after"] == "1"
    if not operation.documented:
        pytest.skip(f"{operation} is not in the OpenAPI document: its statuses are not compared")
    assert answer.status in operation.documented
