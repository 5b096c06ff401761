"""The SQL of how-to pages runs on the present schema. `test_on_call.py` has that of its page."""

import asyncpg
import pytest

from plinth.security.passwords import NO_PASSWORD
from plinth.testing.people import People
from tests.support.environment import ROOT
from tests.support.pages import read_blocks

(ACCOUNTS_WITH_CODES_ONLY,) = (
    it.text for it in read_blocks(ROOT / "docs/how-to/email-codes.md") if it.kind == "sql"
)


@pytest.mark.parametrize("has_identity", [False, True])
async def test_accounts_that_need_codes_by_mail_are_counted(
    people: People, second: asyncpg.Connection, *, has_identity: bool
) -> None:
    await people.add()
    person = await people.add()
    await second.execute(
        "UPDATE users SET hashed_password = $2 WHERE id = $1", person.id, NO_PASSWORD
    )
    if has_identity:
        await second.execute(
            "INSERT INTO identities (user_id, provider, issuer, subject)"
            " VALUES ($1, 'google', 'https://accounts.google.com', '1')",
            person.id,
        )
    assert await second.fetchval(ACCOUNTS_WITH_CODES_ONLY) == (0 if has_identity else 1)
