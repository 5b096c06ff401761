"""The database's roles: what the application's may do, and whether the owner's can migrate."""

import asyncio
from typing import Any

import asyncpg

from plinth.accounts.queries.event import GUARDS
from plinth.cli.connecting import find_cause
from plinth.cli.doctor.finding import Finding, broken, doubtful, fine
from plinth.cli.failure import describe
from plinth.config import Settings
from plinth.config.urls.postgres_url import libpq_url
from plinth.db.driver import Connector
from plinth.devservices.service_urls import ServiceUrls

NAME = "roles"
SECONDS = 3
ASKED = """
SELECT current_user AS role,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS is_superuser,
       pg_has_role(current_user, relowner, 'MEMBER') AS is_owner,
       pg_get_userbyid(relowner) AS owner,
       has_table_privilege(events.oid, 'UPDATE, DELETE, TRUNCATE, TRIGGER') AS may_change_events,
       has_schema_privilege(relnamespace, 'CREATE') AS may_create,
       array(
           SELECT tgname::text FROM pg_trigger
           WHERE tgrelid = events.oid AND tgenabled IN ('O', 'A')
       ) AS guards
FROM pg_class AS events WHERE events.oid = to_regclass('events')
"""


async def examine(backing: ServiceUrls, settings: Settings) -> list[Finding]:
    """Nothing where the database is away or not migrated: its own checks report that."""
    try:
        facts = await _ask(backing.database_url)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return []
    if facts is None:
        return []
    findings = [check_application(facts), check_guards(facts)]
    if settings.MIGRATION_DATABASE_URL:
        findings.append(await _examine_owner(settings.MIGRATION_DATABASE_URL))
    return findings


def check_application(facts: Any) -> Finding:
    role = facts["role"]
    if facts["is_superuser"] or facts["is_owner"]:
        kind = "is a superuser" if facts["is_superuser"] else "owns the tables"
        return doubtful(
            NAME,
            f"the application's role {role} {kind}, so it can change the schema and the audit log",
            "Give the tables to another role: `plinth db roles`, docs/how-to/deploy.md.",
        )
    if facts["may_change_events"] or facts["may_create"]:
        what = "change events" if facts["may_change_events"] else "create tables"
        return doubtful(
            NAME,
            f"the application's role {role} may {what}",
            "Run `plinth db upgrade` as the owner (MIGRATION_DATABASE_URL), which sets its rights, "
            "or REVOKE what was granted beside it.",
        )
    return fine(NAME, f"{role} uses the tables, {facts['owner']} owns them")


def check_guards(facts: Any) -> Finding:
    if missing := sorted(GUARDS - set(facts["guards"])):
        return broken(
            "audit log",
            f"the triggers {', '.join(missing)} of the table events are missing or disabled",
            "Run `plinth audit verify`, then ALTER TABLE events ENABLE TRIGGER ALL as the owner.",
        )
    return fine("audit log", "its triggers are enabled")


async def _examine_owner(url: str) -> Finding:
    where = describe(libpq_url(url))
    try:
        facts = await _ask(url)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        why = str(find_cause(error)) or f"no response within {SECONDS} s"
        return broken("owner", f"{where} cannot be used ({why})", "Correct MIGRATION_DATABASE_URL.")
    if facts is None or not facts["is_owner"]:
        owner = "another role" if facts is None else facts["owner"]
        return broken(
            "owner",
            f"{where} does not own the tables, {owner} does",
            "Run `plinth db roles --url-env VAR` as the present owner: it hands them over.",
        )
    return fine("owner", where)


async def _ask(url: str) -> Any:
    async with asyncio.timeout(SECONDS):
        connection = await Connector(libpq_url(url), seconds=SECONDS).connect()
        try:
            return await connection.fetchrow(ASKED)
        finally:
            await connection.close(timeout=1)
