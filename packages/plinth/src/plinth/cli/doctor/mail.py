"""Check the mail settings and the outbox."""

from datetime import UTC, datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from plinth.accounts.queries.mail import Backlog
from plinth.accounts.services import outbox
from plinth.cli.application import load_metadata
from plinth.cli.doctor import Finding, doubtful, fine
from plinth.config import Settings
from plinth.db.database import Database
from plinth.errors import PlinthError
from plinth.mail import describe_transport, is_configured

NAME = "mail"
MAX_WAIT = timedelta(minutes=15)


async def examine(url: str, settings: Settings) -> list[Finding]:
    database = Database(url, settings, load_metadata())
    try:
        async with database.transaction() as db:
            backlog = await outbox.count(db)
    except (PlinthError, SQLAlchemyError):
        return []  # unreachable or not migrated: `database.py` reports it
    finally:
        await database.close()
    return [check_transport(), check_backlog(backlog)]


def check_transport() -> Finding:
    if not is_configured():
        return doubtful(
            NAME, "SMTP_HOST is not set, so mails are not sent", "Set it as in docs/how-to/mail.md."
        )
    return fine(NAME, f"sent {describe_transport()}")


def check_backlog(backlog: Backlog) -> Finding:
    name, text = "outbox", f"{backlog.waiting} waiting, {backlog.dead} failed"
    if backlog.dead:
        return doubtful(name, text, "docs/how-to/mail.md says how to inspect and retry them.")
    if backlog.oldest and datetime.now(UTC) - backlog.oldest > MAX_WAIT:
        return doubtful(
            name,
            f"{text}, the oldest since {backlog.oldest:%Y-%m-%d %H:%M} UTC",
            "Set MAIL_WORKER=true or run `plinth worker`. If one is running, its log has the "
            "errors of the mail server.",
        )
    return fine(name, text)
