"""Alembic, called from the program: the same migrations as `alembic upgrade head`."""

from alembic import command
from alembic.config import Config

from app.core.revisions import find_ini


def find_config() -> Config:
    return Config(find_ini())


def upgrade(url: str | None = None, revision: str = "head") -> None:
    """Blocks; it runs an event loop of its own, so call it from a thread where one is running."""
    command.upgrade(_with_url(url), revision)


def downgrade(url: str | None = None, revision: str = "-1") -> None:
    command.downgrade(_with_url(url), revision)


def print_upgrade(revision: str = "head") -> None:
    """Print the SQL of `upgrade`; no database is needed."""
    command.upgrade(find_config(), revision, sql=True)


def _with_url(url: str | None) -> Config:
    config = find_config()
    config.attributes["url"] = url
    return config
