"""Sign-in with imported password hashes."""

import asyncio

import asyncpg
import pytest

from plinth.security.passwords import NO_PASSWORD
from plinth.testing.people import PASSWORD, People, Person
from tests.support.foreign_hashes import BCRYPT, FOREIGN, PBKDF2_BEYOND

STORED = "SELECT hashed_password FROM users WHERE id = $1"


@pytest.mark.parametrize("stored", FOREIGN.values(), ids=FOREIGN.keys())
async def test_first_sign_in_replaces_the_imported_hash(
    people: People, second: asyncpg.Connection, stored: str
) -> None:
    ann = await people.add(hashed_password=stored)
    wrong = Person(ann.id, ann.email, ann.username, PASSWORD + "x")
    assert (await people.try_to_sign_in(wrong)).status_code == 401
    assert await second.fetchval(STORED, ann.id) == stored

    await people.sign_in(ann)

    ours = await second.fetchval(STORED, ann.id)
    assert ours.startswith("$argon2id$v=19$m=8,t=1,p=1$")
    await people.sign_in(ann)
    assert await second.fetchval(STORED, ann.id) == ours


async def test_concurrent_first_sign_ins_all_succeed(
    people: People, second: asyncpg.Connection
) -> None:
    ann = await people.add(hashed_password=BCRYPT)
    answers = await asyncio.gather(*(people.try_to_sign_in(ann) for _ in range(20)))
    assert [answer.status_code for answer in answers] == [200] * 20
    assert (await second.fetchval(STORED, ann.id)).startswith("$argon2id$")


@pytest.mark.parametrize("stored", [PBKDF2_BEYOND, NO_PASSWORD], ids=["beyond", "none"])
async def test_unverifiable_hash_is_a_wrong_password(people: People, stored: str) -> None:
    ann = await people.add(hashed_password=stored)
    answer = await people.try_to_sign_in(ann)
    assert answer.status_code == 401
    assert answer.json()["detail"] == "Incorrect email or password"
