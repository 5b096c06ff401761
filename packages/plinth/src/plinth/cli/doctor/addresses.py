"""Check for colliding email addresses, and the database's locale."""

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts.services import administration
from plinth.cli.application import load_metadata
from plinth.cli.doctor import Finding, doubtful, fine
from plinth.config import Settings
from plinth.db.database import Database
from plinth.errors import PlinthError
from plinth.security.addresses import Plan

NAME, LOCALE = "addresses", "locale"
MAX_SHOWN = 10
LOCALE_QUERY = sa.text(
    "SELECT datctype, lower('I') = 'i' AS folds_ascii, lower('ÄЖ') = 'äж' AS folds_all"
    " FROM pg_database WHERE datname = current_database()"
)
LOCALE_ADVICE = (
    "Restore a backup into a database that was created with another locale, such as C.UTF-8 or "
    "en_US.UTF-8. The email addresses of accounts do not depend on it."
)


async def examine(url: str, settings: Settings) -> list[Finding]:
    database = Database(url, settings, load_metadata())
    try:
        async with database.transaction() as db:
            return [
                await _check_locale(db),
                check_collisions(await administration.plan_canonical_emails(db)),
            ]
    except (PlinthError, SQLAlchemyError):
        return []  # unreachable, not migrated, or not UTF-8: `database.py` reports it
    finally:
        await database.close()


async def _check_locale(db: AsyncSession) -> Finding:
    row = (await db.execute(LOCALE_QUERY)).one()
    if not row.folds_all:
        effect = "folds only ASCII letters, so a search for other letters is case-sensitive"
    elif not row.folds_ascii:
        effect = "treats I and i as different letters, so INFO and info can be two usernames"
    else:
        return fine(LOCALE, row.datctype)
    return doubtful(LOCALE, f"LC_CTYPE {row.datctype} {effect}", LOCALE_ADVICE)


def check_collisions(plan: Plan) -> Finding:
    if missing := len(plan.changes):
        accounts = "1 account" if missing == 1 else f"{missing} accounts"
        text = f"{accounts} can sign in with the exact spelling of the address only"
        return doubtful(
            NAME, text, "Run `plinth users addresses`, which computes the canonical addresses."
        )
    others = [
        f"{other.id} (of user {holder.id})" for holder, *rest in plan.collisions for other in rest
    ]
    if others:
        shown = ", ".join(others[:MAX_SHOWN])
        more = f" and {len(others) - MAX_SHOWN} more" if len(others) > MAX_SHOWN else ""
        return doubtful(
            NAME,
            f"accounts have the address of another account in another spelling: {shown}{more}",
            "Run `plinth users addresses` for the list. docs/how-to/users.md says how to fix it.",
        )
    return fine(NAME, "no two accounts have the same address")
