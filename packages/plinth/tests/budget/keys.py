"""An API key for each user of the benchmark."""

from collections.abc import Sequence
from uuid import uuid4

import asyncpg
import pytest

from bench.seed import Person
from plinth.config import settings
from plinth.security.api_keys import make_api_key

ADD = """
INSERT INTO api_keys (id, user_id, name, hash, scopes, expires_at, last_used_on)
SELECT id, user_id, 'budget', hash, '{profile:read}', now() + interval '1 day', current_date
FROM unnest($1::uuid[], $2::bigint[], $3::bytea[]) AS given (id, user_id, hash)
"""

KEYS: dict[int, str] = {}
"""The keys by the id of the user."""


async def add_keys(database_url: str, people: Sequence[Person]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "ENVIRONMENT", "production")  # that of the server
        made = {person.id: make_api_key(uuid4()) for person in people}
    connection = await asyncpg.connect(database_url)
    try:
        ids, hashes = [it.id for it in made.values()], [it.hash for it in made.values()]
        await connection.execute(ADD, ids, list(made), hashes)
        await connection.execute("VACUUM (ANALYZE) api_keys")
    finally:
        await connection.close()
    KEYS.update({user_id: key.text for user_id, key in made.items()})
