"""Check second factors, and the keys that encrypt their secrets."""

from sqlalchemy.exc import SQLAlchemyError

from plinth.accounts import queries
from plinth.accounts.queries.factor import Counts
from plinth.cli.application import load_metadata
from plinth.cli.doctor import Finding, broken, doubtful, fine
from plinth.config import Settings
from plinth.db.database import Database
from plinth.errors import PlinthError
from plinth.security.encryption import current_key_id

NAME, KEYS = "second factors", "SECRET_KEY_FALLBACKS"


async def examine(url: str, settings: Settings) -> list[Finding]:
    database = Database(url, settings, load_metadata())
    try:
        async with database.transaction() as db:
            counts = await queries.factor.count(db, current_key_id())
    except (PlinthError, SQLAlchemyError):
        return []  # unreachable or not migrated: `database.py` reports it
    finally:
        await database.close()
    return [check_factors(settings, counts), *check_keys(settings, counts)]


def check_factors(settings: Settings, counts: Counts) -> Finding:
    text = (
        f"{counts.users_with_factor} of {counts.users} active users have one; "
        f"{counts.superusers_without_factor} of {counts.superusers} superusers do not"
    )
    if counts.superusers_without_factor and not settings.is_development:
        return doubtful(
            NAME,
            text,
            "docs/how-to/second-factors.md says how; MFA_REQUIRED=superusers requires it.",
        )
    return fine(NAME, text)


def check_keys(settings: Settings, counts: Counts) -> list[Finding]:
    if counts.outdated and not settings.SECRET_KEY_FALLBACKS:
        return [
            broken(
                KEYS,
                f"{counts.outdated} authenticator apps cannot be used: SECRET_KEY was changed",
                "Put the earlier SECRET_KEY into SECRET_KEY_FALLBACKS, then run "
                "`plinth keys reencrypt`.",
            )
        ]
    if counts.outdated:
        text = f"{counts.outdated} authenticator apps need an earlier key"
        return [doubtful(KEYS, text, "Run `plinth keys reencrypt`.")]
    if settings.SECRET_KEY_FALLBACKS:
        return [
            doubtful(
                KEYS,
                "no authenticator app needs an earlier key",
                "Run `plinth keys reencrypt` for waiting mails, then empty SECRET_KEY_FALLBACKS.",
            )
        ]
    return []
