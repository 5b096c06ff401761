"""Fast reads outside a transaction; docs/explanation/decisions/hot-path.md has the measurements.

SQLAlchemy compiles a statement once, and asyncpg runs it on a connection of the engine's pool,
without a session, a transaction or tracked objects. To change rows, use `Database.transaction`.
"""

from plinth.db.reading.query import Query, array_param, force_custom_plan, in_array, select_columns
from plinth.db.reading.reader import Readable, Reader, SharedQuery, read_all, read_by_id, read_one
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
