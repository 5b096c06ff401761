"""The fixtures: `client`, `people`, `rows`, `database`, `second`, ..., and `api`."""

import pytest
from httpx2 import AsyncClient

from tests.api import Api

pytest_plugins = ["plinth.testing.plugin"]


@pytest.fixture
def api(client: AsyncClient) -> Api:
    return Api(client)
