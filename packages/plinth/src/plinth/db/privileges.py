"""Refuse to start with a role that the policies of tables do not bind."""

import logging

from sqlalchemy import text

from plinth.config import SettingsError, settings
from plinth.db.database import Database
from plinth.errors import PlinthError

logger = logging.getLogger(__name__)

EXCESS = """
SELECT current_user AS role,
       CASE WHEN rolsuper THEN 'is a superuser'
            WHEN rolbypassrls THEN 'has BYPASSRLS'
            WHEN EXISTS (
                SELECT FROM pg_policy JOIN pg_class ON pg_class.oid = polrelid
                WHERE pg_has_role(current_user, relowner, 'MEMBER')
            ) THEN 'owns the tables'
       END AS reason
FROM pg_roles WHERE rolname = current_user AND EXISTS (SELECT FROM pg_policy)
"""
"""Returns no row if no table has a policy, and no reason if the policies bind the role."""
ADVICE = (
    "Run `plinth db roles`, and set DATABASE_URL to a URL with the application's role, which it "
    "creates (docs/how-to/tenant-isolation.md)."
)


def describe_excess(role: str, reason: str) -> str:
    return (
        f"the role {role} of DATABASE_URL {reason}, so the policies that isolate organizations do "
        "not protect their rows"
    )


async def check_role(database: Database) -> None:
    """Check the application's role, if a table has policies. In development, only log it.

    Raises:
        SettingsError: the policies do not bind the role.
    """
    try:
        async with database.read_connection() as connection:
            found = (await connection.execute(text(EXCESS))).one_or_none()
    except PlinthError:
        return  # readiness reports that the database is unavailable
    if found is None or found.reason is None:
        return
    fault = describe_excess(found.role, found.reason)
    if not settings.is_development:
        raise SettingsError([f"{fault}. {ADVICE}"])
    logger.warning("%s. Outside development, the application refuses to start. %s", fault, ADVICE)
