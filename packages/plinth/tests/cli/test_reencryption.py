"""`plinth keys reencrypt`, and what `plinth doctor` says about second factors and their keys."""

import json

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.accounts.queries.factor import Counts
from plinth.cli.doctor import Level
from plinth.cli.doctor.factors import check_factors, check_keys
from plinth.config import load_settings, settings
from plinth.db.database import Database
from plinth.testing.people import People
from tests.api.test_email_codes import sending
from tests.api.test_second_factors import begin, complete
from tests.support.command import plinth
from tests.support.environment import COMPLETE
from tests.support.factors import enroll

PRODUCTION = {**COMPLETE, "LIMITS_ENABLED": "true"}
NEW_KEY = "a-new-secret-key-of-at-least-32-bytes-4711"


def rotated(environment: dict[str, str], *fallbacks: str) -> dict[str, str]:
    return environment | {"SECRET_KEY": NEW_KEY, "SECRET_KEY_FALLBACKS": json.dumps(fallbacks)}


async def test_apps_and_waiting_mails_need_no_earlier_key_afterwards(
    client: AsyncClient,
    people: People,
    second: asyncpg.Connection,
    database: Database,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    person = await people.enter(is_verified=True)
    phone = await enroll(client, second, person)
    await client.post("/auth/password/forgot", json={"email": person.email})
    mails = await second.fetchval("SELECT count(*) FROM mails")

    done = plinth("keys", "reencrypt", **rotated(environment, settings.SECRET_KEY))
    assert done.returncode == 0, done.stderr
    assert f"Encrypted 1 secrets of apps and {mails} mails" in done.stdout
    assert "SECRET_KEY_FALLBACKS can be emptied in 10 minutes" in done.stdout
    again = plinth("keys", "reencrypt", **rotated(environment))
    assert "Encrypted 0 secrets of apps and 0 mails" in again.stdout

    monkeypatch.setattr(settings, "SECRET_KEY", NEW_KEY)
    pending = await begin(client, person)
    assert (await complete(client, pending["challenge"], phone.code())).status_code == 200
    async with sending(database, monkeypatch) as inbox:
        await inbox.next(person.email, "Set a new password")


async def test_secret_that_no_key_decrypts_is_reported_and_kept(
    client: AsyncClient, people: People, second: asyncpg.Connection, environment: dict[str, str]
) -> None:
    person = await people.enter(is_verified=False)
    await enroll(client, second, person)
    before = await second.fetchrow("SELECT * FROM totp_secrets")
    done = plinth("keys", "reencrypt", **rotated(environment, "another-key-" + "x" * 32))
    assert "1 could not be decrypted" in done.stdout
    assert "can be emptied" not in done.stdout
    assert await second.fetchrow("SELECT * FROM totp_secrets") == before


async def test_doctor_reports_factors_and_their_keys(
    client: AsyncClient, people: People, second: asyncpg.Connection, environment: dict[str, str]
) -> None:
    await enroll(client, second, await people.enter())
    await people.add(is_superuser=True)
    await people.add(is_active=False)
    report = plinth("doctor", "--json", **rotated(environment)).stdout
    found = {check["name"]: check for check in json.loads(report)["checks"]}
    text = "1 of 2 active users have one; 1 of 1 superusers do not"
    assert text in json.dumps(found["second factors"])
    assert found["SECRET_KEY_FALLBACKS"]["level"] == "broken"


@pytest.mark.parametrize(
    ("fallbacks", "outdated", "level"),
    [
        ([], 0, None),
        ([], 1, Level.BROKEN),
        (["an-earlier-key-" + "x" * 32], 1, Level.DOUBTFUL),
        (["an-earlier-key-" + "x" * 32], 0, Level.DOUBTFUL),
    ],
)
def test_doctor_reports_whether_earlier_keys_are_needed(
    fallbacks: list[str], outdated: int, level: Level | None
) -> None:
    loaded = load_settings(**PRODUCTION, SECRET_KEY_FALLBACKS=json.dumps(fallbacks))
    found = check_keys(loaded, Counts(1, 0, 0, 0, outdated))
    assert [it.level for it in found] == ([level] if level else [])


def test_doctor_warns_of_superusers_without_a_factor_in_production() -> None:
    lacking = Counts(5, 1, 2, 1, 0)
    assert check_factors(load_settings(**PRODUCTION), lacking).level is Level.DOUBTFUL
    assert check_factors(settings, lacking).level is Level.FINE
    assert check_factors(load_settings(**PRODUCTION), Counts(5, 2, 2, 0, 0)).level is Level.FINE
