"""Changes in the admin pages follow the rules of the API and are recorded in the audit log."""

import asyncpg
import pytest
from httpx2 import AsyncClient
from sqlalchemy import text

from plinth.accounts.services import outbox
from plinth.db.database import Database
from plinth.errors import NotFound, Unavailable
from plinth.testing.people import People, Person
from tests.support.superuser import Superuser


async def last_event(second: asyncpg.Connection) -> asyncpg.Record:
    return await second.fetchrow("SELECT * FROM events ORDER BY id DESC LIMIT 1")


async def root_id(second: asyncpg.Connection) -> int:
    found: int = await second.fetchval("SELECT id FROM users WHERE username = 'root'")
    return found


async def is_refused(client: AsyncClient, person: Person) -> bool:
    return (await client.get("/users/me", headers=person.headers)).status_code in (400, 401)


async def test_list_supports_search_filter_and_sort(root: Superuser, people: People) -> None:
    for name in ("anna", "dianne", "ber_t"):
        await people.add(username=name, is_active=name != "dianne")

    async def names(**query: str) -> list[str]:
        page = (await root.get("/user/list", **query)).text
        return sorted(("anna", "dianne", "ber_t"), key=page.find)[
            sum(name not in page for name in ("anna", "dianne", "ber_t")) :
        ]

    assert set(await names(q="ann")) == {"anna", "dianne"}
    assert await names(q="_") == ["ber_t"], "_ is no wildcard"
    assert await names(sort="username__desc") == ["dianne", "ber_t", "anna"]
    assert await names(filter="is_active__is_false") == ["dianne"]


async def test_deactivation_revokes_sessions_and_activation_permits_sign_in(
    root: Superuser, people: People, client: AsyncClient, second: asyncpg.Connection
) -> None:
    person = await people.enter()
    assert (await root.act("user", "deactivate", person.id)).status_code == 200
    assert await is_refused(client, person)
    event = await last_event(second)
    assert (event["event"], event["reason"]) == ("user.changed", "is_active=False")
    assert (event["actor_id"], event["subject_id"]) == (await root_id(second), person.id)
    assert event["session_id"] is not None

    assert (await root.act("user", "activate", person.id)).status_code == 200
    await people.sign_in(person)


async def test_bulk_deactivation_is_all_or_nothing(
    root: Superuser, people: People, second: asyncpg.Connection
) -> None:
    ids = [(await people.add()).id for _ in range(3)]
    myself = await root_id(second)
    refused = await root.act_on_many("user", "deactivate", *ids, myself)
    assert refused.status_code == 400
    assert "last superuser" in refused.text
    assert await second.fetchval("SELECT count(*) FROM users WHERE NOT is_active") == 0

    assert (await root.act_on_many("user", "deactivate", *ids)).status_code == 200
    assert await second.fetchval("SELECT count(*) FROM users WHERE NOT is_active") == 3


async def test_revoke_all_sessions_of_a_user(
    root: Superuser, people: People, client: AsyncClient, second: asyncpg.Connection
) -> None:
    person = await people.enter()
    await root.act("user", "end_sessions", person.id)

    assert await is_refused(client, person)
    event = await last_event(second)
    assert (event["event"], event["subject_id"]) == ("session.all_ended", person.id)
    assert event["actor_id"] == await root_id(second)


async def test_revoke_one_session(
    root: Superuser, people: People, client: AsyncClient, second: asyncpg.Connection
) -> None:
    person = await people.enter()
    other = await people.sign_in(person)
    session_id = await second.fetchval(
        "SELECT id FROM sessions WHERE user_id = $1 ORDER BY created_at LIMIT 1", person.id
    )
    assert (await root.act("session", "end", session_id)).status_code == 200
    assert await is_refused(client, person)
    assert not await is_refused(client, other)
    assert (await last_event(second))["event"] == "session.ended"
    assert (await root.act("session", "end", session_id)).status_code == 400


async def test_resend_sends_another_verification_mail(
    root: Superuser, people: People, second: asyncpg.Connection
) -> None:
    person = await people.add()
    assert (await root.act("user", "resend", person.id)).status_code == 200

    mail = await second.fetchrow("SELECT kind, recipient FROM mails")
    assert tuple(mail) == ("email_verify", person.email)
    assert (await last_event(second))["event"] == "email.verification_resent"


async def test_form_changes_names_and_flags_only(
    root: Superuser, people: People, client: AsyncClient, second: asyncpg.Connection
) -> None:
    person = await people.enter(full_name="Before")
    sent = {"username": "after", "full_name": "", "is_active": "on", "is_superuser": "on"}
    answer = await root.save("user", person.id, **sent, email="evil@example.com", id="7")

    assert answer.status_code == 303
    row = await second.fetchrow("SELECT * FROM users WHERE id = $1", person.id)
    assert (row["username"], row["full_name"], row["is_superuser"]) == ("after", None, True)
    assert row["email"] == person.email
    assert await is_refused(client, person), "a change of role ends the sessions"
    event = await last_event(second)
    assert event["reason"] == "full_name, is_superuser=True, username"


@pytest.mark.parametrize(
    ("username", "told"), [("no spaces please", "pattern"), ("root", "Username already taken")]
)
async def test_form_shows_validation_errors(
    root: Superuser, people: People, second: asyncpg.Connection, username: str, told: str
) -> None:
    person = await people.add()
    answer = await root.save("user", person.id, username=username, full_name="", is_active="on")

    assert answer.status_code == 422
    assert told in answer.text
    name = await second.fetchval("SELECT username FROM users WHERE id = $1", person.id)
    assert name == person.username


async def test_last_superuser_cannot_be_demoted_or_deactivated(
    root: Superuser, second: asyncpg.Connection
) -> None:
    myself = await root_id(second)
    pressed = await root.act("user", "deactivate", myself)
    saved = await root.save("user", myself, username="root", full_name="", is_active="on")

    assert (pressed.status_code, saved.status_code) == (400, 422)
    for answer in (pressed, saved):
        assert "The last superuser cannot be demoted or deactivated" in answer.text
    assert await second.fetchval("SELECT is_superuser AND is_active FROM users")


async def test_dead_mail_can_be_retried(
    root: Superuser, database: Database, second: asyncpg.Connection
) -> None:
    dead, waiting = [
        await second.fetchval(
            "INSERT INTO mails (kind, recipient, sealed, attempts, dead_at, last_error)"
            " VALUES ('email_verify', 'ann@example.com', 'sealed', 8, $1::text::timestamptz, 'no')"
            " RETURNING id",
            dead_at,
        )
        for dead_at in ("2026-01-01", None)
    ]
    assert (await root.act("mail", "retry", dead)).status_code == 200
    assert (await root.act("mail", "retry", waiting)).status_code == 400
    with pytest.raises(NotFound):  # also for a superuser
        async with database.transaction() as db:
            await outbox.retry(db, waiting)

    row = await second.fetchrow("SELECT * FROM mails WHERE id = $1", dead)
    assert (row["dead_at"], row["attempts"], row["last_error"]) == (None, 0, None)
    assert row["sealed"] == b"sealed"
    event = await last_event(second)
    assert (event["event"], event["reason"]) == ("mail.retried", str(dead))


async def test_create_delete_export_and_import_are_refused(
    root: Superuser, second: asyncpg.Connection
) -> None:
    csrf = {"X-CSRFToken": root.csrf}
    for table in ("user", "session", "event", "mail"):
        key = await second.fetchval("SELECT id FROM sessions") if table == "session" else 1
        assert (await root.get(f"/{table}/create")).status_code == 403, table
        if table != "user":
            assert (await root.get(f"/{table}/edit", pk=str(key))).status_code == 403, table
        for name in ("export", "delete"):
            assert (await root.act_on_many(table, name, key)).status_code == 400, table
        assert (await root.act(table, "delete", key)).status_code == 400, table
        importing = f"/admin/_api/{table}/import"
        sent = await root.client.post(importing, headers=csrf, data={"format": "csv"})
        assert sent.status_code == 403, table


async def test_action_with_an_invalid_row_id_is_400(root: Superuser) -> None:
    buttons = ("user", "deactivate"), ("user", "resend"), ("session", "end"), ("mail", "retry")
    for table, name in buttons:
        for pk in ("", "x", "1.5", "-1", "\0", "9" * 30):
            answer = await root.act(table, name, pk)
            assert answer.status_code == 400, (table, name, pk)
            assert (await root.act_on_many("user", "end_sessions", 1, pk)).status_code == 400


async def test_pages_use_a_read_only_session(database: Database) -> None:
    """A later release of starlette-admin may write by itself."""
    with pytest.raises(Unavailable) as refused:
        async with database.read_only_session() as session:
            await session.execute(text("DELETE FROM users"))
    assert "read-only transaction" in str(refused.value.__cause__)
    async with database.transaction() as session:
        await session.execute(text("DELETE FROM users"))  # the connection is writable again
