"""What tables have in common."""

from plinth.db.models import Base, NumberedBase, Owned, Timestamped, Versioned

__all__ = ["Base", "BaseModel", "NumberedBase", "Owned", "Timestamped", "Versioned"]


class BaseModel(Timestamped, NumberedBase):
    """A table with a key `id` and the times `created_at` and `updated_at`."""

    __abstract__ = True
