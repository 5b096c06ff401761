"""PostgreSQL: base classes of models, transactions, and typed reads."""

from plinth.db.database import Database, after_commit, before_commit
from plinth.db.models import Base, NumberedBase, OrganizationOwned, Owned, Timestamped, Versioned
from plinth.db.reading import force_custom_plan, in_list, typed_query
from plinth.db.tenancy import current_tenant, tenant

__all__ = [
    "Base",
    "Database",
    "NumberedBase",
    "OrganizationOwned",
    "Owned",
    "Timestamped",
    "Versioned",
    "after_commit",
    "before_commit",
    "current_tenant",
    "force_custom_plan",
    "in_list",
    "tenant",
    "typed_query",
]
