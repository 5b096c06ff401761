"""A signed-in user with a verified address, and a passkey of that user."""

import pytest
from httpx2 import AsyncClient

from plinth.testing.people import People, Person
from tests.support.authenticator import Authenticator
from tests.support.passkeys import add_passkey


@pytest.fixture
async def person(people: People) -> Person:
    return await people.enter(is_verified=True)


@pytest.fixture
async def passkey(client: AsyncClient, person: Person) -> Authenticator:
    return await add_passkey(client, person)
