"""Accounts whose addresses collide, and what the database's locale knows of letters."""

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts.services import administration
from plinth.cli.application import load_metadata
from plinth.cli.doctor.finding import Finding, doubtful, fine
from plinth.config import Settings
from plinth.db.database import Database
from plinth.errors import PlinthError
from plinth.security.addresses import Plan

NAME, LOCALE = "addresses", "locale"
MAX_SHOWN = 10
ASKED = sa.text(
    "SELECT datctype, lower('I') = 'i' AS folds_ascii, lower('ÄЖ') = 'äж' AS folds_all"
    " FROM pg_database WHERE datname = current_database()"
)
MAKE_ANEW = (
    "Restore it into a database made with a locale that does, such as C.UTF-8 or en_US.UTF-8. "
    "Addresses of accounts are compared without it."
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
        return []  # away, not migrated, or not in UTF-8: the database's own checks say so
    finally:
        await database.close()


async def _check_locale(db: AsyncSession) -> Finding:
    row = (await db.execute(ASKED)).one()
    if not row.folds_all:
        what = "the case of letters beyond ASCII, so a search for them finds one case alone"
    elif not row.folds_ascii:
        what = "I and i as one letter, so the usernames INFO and info can be two accounts"
    else:
        return fine(LOCALE, row.datctype)
    return doubtful(LOCALE, f"LC_CTYPE {row.datctype} does not know {what}", MAKE_ANEW)


def check_collisions(plan: Plan) -> Finding:
    if alone := len(plan.changes):
        are = "account is found by its" if alone == 1 else "accounts are found by their"
        text = f"{alone} {are} own spelling alone"
        return doubtful(NAME, text, "Run `plinth users addresses`, which computes the others.")
    others = [
        f"{other.id} (of user {holder.id})" for holder, *rest in plan.collisions for other in rest
    ]
    if others:
        shown = ", ".join(others[:MAX_SHOWN])
        more = f" and {len(others) - MAX_SHOWN} more" if len(others) > MAX_SHOWN else ""
        return doubtful(
            NAME,
            f"accounts have the address of another account in another spelling: {shown}{more}",
            "`plinth users addresses` shows them; docs/how-to/users.md, Addresses that collide.",
        )
    return fine(NAME, "each account has its own")
