"""The base classes of tables."""

from plinth.db import Base, NumberedBase, Owned, Timestamped, Versioned

__all__ = ["Base", "BaseModel", "NumberedBase", "Owned", "Timestamped", "Versioned"]


class BaseModel(Timestamped, NumberedBase):
    """A table with a primary key `id`, `created_at` and `updated_at`."""

    __abstract__ = True
