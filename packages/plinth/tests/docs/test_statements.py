"""The SQL of how-to pages runs on the present schema. `test_on_call.py` has that of its page."""

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.security.passwords import NO_PASSWORD
from plinth.testing.people import People
from tests.support.environment import ROOT
from tests.support.pages import read_blocks


def read_statement(page: str) -> str:
    (statement,) = (it.text for it in read_blocks(ROOT / "docs/how-to" / page) if it.kind == "sql")
    return statement


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
    assert await second.fetchval(read_statement("email-codes.md")) == (0 if has_identity else 1)


async def test_removed_passwords_sign_no_user_in(
    client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    person = await people.enter()
    await second.execute(read_statement("without-passwords.md"))
    assert (await people.try_to_sign_in(person)).status_code == 401
    assert (await client.get("/users/me", headers=person.headers)).status_code == 200
    body = {"method": "password", "password": person.password}
    refused = await client.post("/auth/step-up", json=body, headers=person.headers)
    assert refused.json()["code"] == "method_not_accepted"
