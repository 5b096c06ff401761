"""Check the privileges of the application's role, and whether the owner's role can migrate."""

import asyncio
from typing import Any

import asyncpg

from plinth.accounts.queries.event import GUARDS
from plinth.cli.connecting import find_cause
from plinth.cli.doctor import Finding, broken, doubtful, fine
from plinth.cli.failure import describe
from plinth.config import Settings
from plinth.config.urls.postgres_url import libpq_url
from plinth.db.driver import Connector
from plinth.db.privileges import ADVICE, describe_excess
from plinth.devservices.service_urls import ServiceUrls

NAME = "roles"
SECONDS = 3
ROLE_QUERY = """
SELECT current_user AS role,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS is_superuser,
       pg_has_role(current_user, relowner, 'MEMBER') AS is_owner,
       pg_get_userbyid(relowner) AS owner,
       (SELECT rolbypassrls FROM pg_roles WHERE rolname = current_user) AS bypasses_policies,
       EXISTS (SELECT FROM pg_policy) AS has_policies,
       has_table_privilege(events.oid, 'UPDATE, DELETE, TRUNCATE, TRIGGER') OR EXISTS (
           SELECT FROM pg_class AS checkpoints WHERE oid = to_regclass('event_checkpoints')
               AND has_table_privilege(oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER')
       ) AS may_change_events,
       has_schema_privilege(relnamespace, 'CREATE') AS may_create,
       array(
           SELECT tgname::text FROM pg_trigger
           WHERE tgrelid = events.oid AND tgenabled IN ('O', 'A')
       ) AS guards
FROM pg_class AS events WHERE events.oid = to_regclass('events')
"""


async def examine(services: ServiceUrls, settings: Settings) -> list[Finding]:
    """Return no finding if the database is unreachable or not migrated, as `database.py` does."""
    try:
        facts = await _fetch_role(services.database_url)
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
    if facts["has_policies"] and (reason := _find_excess(facts)):
        return broken(NAME, describe_excess(role, reason), ADVICE)
    if facts["is_superuser"] or facts["is_owner"]:
        kind = "is a superuser" if facts["is_superuser"] else "owns the tables"
        return doubtful(
            NAME,
            f"the application's role {role} {kind}, so it can change the schema and the audit log",
            "Use a separate role for the tables, which `plinth db roles` creates "
            "(docs/how-to/deploy.md).",
        )
    if facts["may_change_events"] or facts["may_create"]:
        surplus = "change events" if facts["may_change_events"] else "create tables"
        return doubtful(
            NAME,
            f"the application's role {role} may {surplus}",
            "Run `plinth db upgrade` with the owner's MIGRATION_DATABASE_URL, which sets the "
            "privileges, or REVOKE those that were granted by hand.",
        )
    return fine(NAME, f"{role} uses the tables, {facts['owner']} owns them")


def _find_excess(facts: Any) -> str | None:
    reasons = {
        "is_superuser": "is a superuser",
        "bypasses_policies": "has BYPASSRLS",
        "is_owner": "owns the tables",
    }
    return next((reason for fact, reason in reasons.items() if facts[fact]), None)


def check_guards(facts: Any) -> Finding:
    if missing := sorted(GUARDS - set(facts["guards"])):
        return broken(
            "audit log",
            f"the triggers {', '.join(missing)} of the table events are missing or disabled",
            "Run `plinth audit verify`, then ALTER TABLE events ENABLE TRIGGER ALL as the owner.",
        )
    return fine("audit log", "the triggers of the table events are enabled")


async def _examine_owner(url: str) -> Finding:
    shown = describe(libpq_url(url))
    try:
        facts = await _fetch_role(url)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        reason = str(find_cause(error)) or f"no response within {SECONDS} s"
        return broken(
            "owner", f"{shown} cannot be used ({reason})", "Correct MIGRATION_DATABASE_URL."
        )
    if facts is None or not facts["is_owner"]:
        owner = "another role" if facts is None else facts["owner"]
        return broken(
            "owner",
            f"the role in {shown} does not own the tables, {owner} does",
            "Run `plinth db roles --url-env VAR`, with a URL of the current owner in VAR, to "
            "transfer them.",
        )
    return fine("owner", shown)


async def _fetch_role(url: str) -> Any:
    async with asyncio.timeout(SECONDS):
        connection = await Connector(libpq_url(url), seconds=SECONDS).connect()
        try:
            return await connection.fetchrow(ROLE_QUERY)
        finally:
            await connection.close(timeout=1)
