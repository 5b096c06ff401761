"""Alembic, called from the program: the same migrations as `alembic upgrade head`."""

import logging
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from app.core.database import Database

logger = logging.getLogger(__name__)


def find_config() -> Config:
    """`alembic.ini` of the folder one stands in, as alembic itself does, else of the checkout."""
    here = Path("alembic.ini")
    return Config(here if here.exists() else Path(__file__).parents[2] / "alembic.ini")


def upgrade(url: str | None = None, revision: str = "head") -> None:
    """Blocks; it runs an event loop of its own, so call it from a thread where one is running."""
    command.upgrade(_with_url(url), revision)


def downgrade(url: str | None = None, revision: str = "-1") -> None:
    command.downgrade(_with_url(url), revision)


def print_upgrade(revision: str = "head") -> None:
    """Print the SQL of `upgrade`; no database is needed."""
    command.upgrade(find_config(), revision, sql=True)


def newest() -> str | None:
    """The revision that this code expects."""
    return ScriptDirectory.from_config(find_config()).get_current_head()


@cache
def outgrown() -> frozenset[str]:
    """The revisions before the newest, in this code's folder; read once."""
    script = ScriptDirectory.from_config(find_config())
    known = {found.revision for found in script.walk_revisions()}
    return frozenset(known - set(script.get_heads()))


def compare(at: str | None) -> tuple[str, str]:
    """Of a database that is not at the newest revision: where it is, and what to do about it."""
    script = ScriptDirectory.from_config(find_config())
    newest = script.get_current_head()
    if at is None or at in {known.revision for known in script.walk_revisions()}:
        return f"at {at or 'none'}, and {newest} is the newest", "Run `plinth db upgrade`."
    return f"at {at}, which this code does not know", "Run the newer code that made it."


async def applied(database: Database) -> str | None:
    """The revision that the database is at; None where no migration ever ran."""
    async with database.reading() as connection:
        try:
            found = await connection.scalar(text("SELECT version_num FROM alembic_version"))
        except ProgrammingError:
            return None
    return str(found) if found else None


def _with_url(url: str | None) -> Config:
    config = find_config()
    config.attributes["url"] = url
    return config
