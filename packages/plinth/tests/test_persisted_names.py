"""Names that are stored, or that clients and operators depend on, keep their values.

tests/data/persisted_names.json lists them. If a test fails because of an addition, run
`UPDATE_NAMES=1 pytest tests/test_persisted_names.py`. A value that is gone or changed needs a
migration or the next major version, and a line in CHANGELOG.md.
"""

import json
import os
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from uuid import UUID

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient

from plinth.accounts.models import EventCheckpoint
from plinth.accounts.queries.user_import import ADVISORY_LOCK_ID
from plinth.accounts.services import one_time_tokens
from plinth.accounts.services.accounts import count_users
from plinth.accounts.services.audit import checkpoints, digest_personal_data
from plinth.accounts.services.mail_worker import MATERIALIZERS
from plinth.accounts.session_cookies import REFRESH_COOKIE
from plinth.admin import auth
from plinth.cache import cache
from plinth.config import Settings
from plinth.db.database import Database
from plinth.limits import Bucket
from plinth.mail.messages import TEMPLATES
from plinth.request.cookies import ACCESS_COOKIE
from plinth.resources.page_query import Cursor, decrypt_cursor
from plinth.security import cookie_tokens, devices, refresh_tokens
from plinth.security.encryption import decrypt
from plinth.security.signing import derive_key
from plinth.testing.databases import TestServices, cloned_database
from plinth.testing.people import People
from tests.support import persisted
from tests.support.environment import LIBRARY, TESTS
from tests.support.logs import logging_to_memory
from tests.support.metrics import scrape, shown_metrics

GOLDEN = TESTS / "data" / "persisted_names.json"
# Values of an earlier release with the SECRET_KEY of tests/conftest.py.
VALUES: dict[str, str] = json.loads((GOLDEN.with_name("persisted_values.json")).read_text())
SESSION = UUID("8c1f64e4-6e0d-4c4b-9d3e-2f7d1b0a5c11")
PURPOSES = (
    "plinth admin cookies",
    "plinth event checkpoint",
    "plinth known device",
    "plinth limits",
    "plinth refresh token mark",
)


def read_part(part: str) -> dict[str, object]:
    read: dict[str, object] = json.loads(urlsafe_b64decode(part + "=="))
    return read


def check(kind: str, found: Iterable[str]) -> None:
    golden = json.loads(GOLDEN.read_text())
    names = sorted(set(found))
    if os.environ.get("UPDATE_NAMES"):
        GOLDEN.write_text(json.dumps(golden | {kind: names}, indent=2, sort_keys=True) + "\n")
        return
    gone, added = set(golden.get(kind, [])) - set(names), set(names) - set(golden.get(kind, []))
    assert not gone, f"{kind} that are stored or depended on are gone or changed: {sorted(gone)}"
    assert not added, f"new {kind}: add them with UPDATE_NAMES=1: {sorted(added)}"


def test_audit_events() -> None:
    check("audit events", persisted.find_event_names())


def test_error_codes() -> None:
    check("error codes", persisted.find_error_codes())


async def test_operation_ids(app: FastAPI) -> None:
    operations = [item for path in app.openapi()["paths"].values() for item in path.values()]
    check("operation ids", (operation["operationId"] for operation in operations))


def test_settings() -> None:
    check("settings", Settings.model_fields)


async def test_metrics(database: Database) -> None:
    async with shown_metrics(database) as port:
        found = await scrape(port)
    # A series without an increment has no `_created`.
    families = [it for it in found.families if not it.name.endswith("_created")]
    check("metrics", {f"{family.name} {family.type}" for family in families})


@pytest.fixture
def untouched(services: TestServices, worker_id: str) -> Iterator[str]:
    """Use a separate database, because other tests create tables in theirs."""
    with cloned_database(services, f"{worker_id}_names") as url:
        yield url


async def test_names_in_the_database(untouched: str) -> None:
    check("names in the database", await persisted.find_names_in_database(untouched))


def test_kinds_of_mail() -> None:
    check("kinds of mail", {path.stem for path in TEMPLATES.glob("*.txt")} | MATERIALIZERS.keys())


def test_purposes_of_one_time_tokens() -> None:
    purposes = one_time_tokens.RESET, one_time_tokens.VERIFY, one_time_tokens.CHANGE
    check("purposes of one-time tokens", purposes)


async def test_log_fields_tokens_and_cookies(client: AsyncClient, people: People) -> None:
    person = await people.enter()
    with logging_to_memory() as log:
        await client.get("/users/me", headers=person.headers)
    (line,) = log.requests
    check("log fields", line)
    check("logger of requests", [line["logger"]])
    header, claims, _ = person.headers["Authorization"].split()[1].split(".")
    check("fields of an access token", [*read_part(header), *read_part(claims)])
    ours = [auth.COOKIE, ACCESS_COOKIE, REFRESH_COOKIE]
    check("cookies", [*ours, *(cookie.name for cookie in client.cookies.jar)])


async def test_keys_in_redis(database: Database) -> None:
    bucket = Bucket.of("login_account", "10/5m", "ann@example.com")
    names = bucket.key, cache.name(count_users.key(database.reader)).partition(":")[2]
    check("keys in Redis", names)


def test_advisory_locks() -> None:
    module = LIBRARY / "db" / "schema" / "environment.py"  # only Alembic can import it
    assert "MIGRATION_LOCK_ID = 0x506C696E7468" in module.read_text()
    assert ADVISORY_LOCK_ID == 0x706C75


def test_keys_derived_from_the_secret_key() -> None:
    check("keys by purpose", (f"{it}: {derive_key(it).hex()[:32]}" for it in PURPOSES))


def test_refresh_tokens_and_their_successors() -> None:
    token = refresh_tokens.parse_refresh_token(VALUES["refresh_token"])
    assert token is not None
    assert (token.session_id, token.is_ours) == (SESSION, True)
    assert token.hash.hex() == VALUES["refresh_token_hash"]
    sealed = bytes.fromhex(VALUES["sealed_successor"])
    successor = refresh_tokens.decrypt_successor(sealed, token)
    assert successor is not None
    assert successor.text == VALUES["successor"]


def test_cookie_tokens() -> None:
    token = cookie_tokens.parse_cookie_token(VALUES["cookie_token"])
    assert token is not None
    assert (token.session_id, token.hash.hex()) == (SESSION, VALUES["cookie_token_hash"])


def test_device_cookies() -> None:
    account = devices.Account(user_id=7, credential_epoch=3)
    assert devices.recognize_device(VALUES["device_cookie"], account, email="ann@example.com")


def test_cursors() -> None:
    cursor = decrypt_cursor(VALUES["cursor"], "users")
    assert cursor == Cursor("-created_at", False, ["2026-01-01T00:00:00Z", 7])


def test_queued_mails() -> None:
    sealed = bytes.fromhex(VALUES["mail"])
    content = decrypt(sealed, belongs_to="mail email_verify to ann@example.com")
    assert content == {"page": "verify-email"}


def test_signature_of_a_checkpoint() -> None:
    checkpoint = EventCheckpoint(
        last_id=7,
        hash=bytes(32),
        newest_at=datetime(2026, 1, 1, tzinfo=UTC),
        deleted_at=datetime(2027, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        signature=bytes.fromhex(VALUES["event_checkpoint_signature"]),
    )
    assert checkpoints.is_signed(checkpoint)


def test_hashes_of_the_audit_log() -> None:
    """The rest of its content is hashed by a function in the database, which a migration made."""
    traces = digest_personal_data(b"0" * 16, "192.0.2.1", "curl/8.5")
    assert traces.hex() == VALUES["event_traces"]
