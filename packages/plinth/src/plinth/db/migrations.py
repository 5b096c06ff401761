"""Run Alembic from Python, with the same result as its command line."""

from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from plinth.db.revisions import find_ini
from plinth.db.schema.state import State


class UnknownRevisionError(CommandError):
    """The database is at a revision that this code does not have."""

    def __init__(self, state: State) -> None:
        text, _ = state.describe_unknown()
        super().__init__(
            f"the database is {text}. Nothing was changed. Run this command with the code that "
            "contains this migration."
        )
        self.state = state


def find_config() -> Config:
    return Config(find_ini())


def upgrade(url: str | None = None, revision: str = "head", *, role: str = "") -> None:
    """Migrate up to a revision. It starts an event loop: call it from a thread in async code.

    Args:
        url: of the role that owns the tables.
        role: of the application, which is granted access (`db/grants.py`).

    Raises:
        UnknownRevisionError
    """
    command.upgrade(_configure(url, role), revision)


def downgrade(url: str | None = None, revision: str = "-1", *, role: str = "") -> None:
    command.downgrade(_configure(url, role), revision)


def print_upgrade(revision: str = "head") -> None:
    """Print the SQL of `upgrade`; no database is needed."""
    command.upgrade(find_config(), revision, sql=True)


def _configure(url: str | None, role: str) -> Config:
    config = find_config()
    config.attributes |= {"url": url, "role": role}
    return config
