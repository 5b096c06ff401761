"""The database: one request is one transaction, committed before the response is sent."""

from plinth.db import Base, Database
from plinth.health.readiness import check_database as check_db_connection
from plinth.resources import get_db

__all__ = ["Base", "check_db_connection", "get_db", "get_pool_status"]


def get_pool_status(database: Database) -> dict[str, int]:
    """Return the numbers of connections: `size`, `checked_out`, `checked_in`, `overflow`."""
    return database.pool_status()
