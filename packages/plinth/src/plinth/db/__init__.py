"""PostgreSQL: base classes of models, transactions, and typed reads."""

from plinth.db.database import Database, after_commit, before_commit
from plinth.db.models import Base, NumberedBase, Owned, Timestamped, Versioned
from plinth.db.reading import force_custom_plan, in_list, typed_query

__all__ = [
    "Base",
    "Database",
    "NumberedBase",
    "Owned",
    "Timestamped",
    "Versioned",
    "after_commit",
    "before_commit",
    "force_custom_plan",
    "in_list",
    "typed_query",
]
