"""An organization with one owner."""

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.testing.people import People
from tests.support.organizations import Company, found


@pytest.fixture
async def company(client: AsyncClient, people: People, second: asyncpg.Connection) -> Company:
    return await found(client, people, second)
