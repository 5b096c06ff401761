"""Reads outside of any transaction, past the ORM.

docs/explanation/decisions/hot-path.md has the reasons.

SQLAlchemy writes the SQL, once; asyncpg runs it on a connection of the engine's pool. There is no
session to make, no transaction to begin and to end, and no row to be tracked. What is read so can
be shown and cannot be changed: for that there is `Database.transaction`.
"""

from plinth.db.reading.query import Query
from plinth.db.reading.reader import Readable, Reader, SharedQuery, read_all, read_by_id, read_one
from plinth.db.reading.statements import array_param, force_custom_plan, in_array, select_columns
from plinth.db.reading.typed import TypedQuery, in_list, typed_query

__all__ = [
    "Query",
    "Readable",
    "Reader",
    "SharedQuery",
    "TypedQuery",
    "array_param",
    "force_custom_plan",
    "in_array",
    "in_list",
    "read_all",
    "read_by_id",
    "read_one",
    "select_columns",
    "typed_query",
]
