"""What every table has in common: named constraints, times with zone, an integer key."""

import re
from datetime import datetime

from sqlalchemy import (
    BigInteger,
    DateTime,
    FetchedValue,
    ForeignKey,
    Identity,
    MetaData,
    func,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, registry

NAMES = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}

_SECRET_NAME = re.compile(
    r"(^|_)(hash(ed|es)?|passw[a-z]*|sealed|(credential|passphrase|secret|token)s?"
    r"|(access|api|private|signing)_?keys?)(_|$)"
)


def sounds_secret(name: str) -> bool:
    """Whether a column of that name usually holds a password, a token or the like."""
    return _SECRET_NAME.search(name) is not None


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMES)
    registry = registry(
        type_annotation_map={datetime: DateTime(timezone=True), int: BigInteger},
    )
    # INSERT and UPDATE return what the database made (times, defaults), so that no attribute
    # of a flushed row is missing: a late load would be a hidden query, an error under asyncio.
    __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012 - SQLAlchemy declares it so


class NumberedBase(Base):
    """A table with a key that the database gives out: 1 to 2**63 - 1."""

    __abstract__ = True

    id: Mapped[int] = mapped_column(Identity(), primary_key=True, sort_order=-10)


class Owned:
    """Rows that belong to a user, and go with them.

    A table that others refer to has `UniqueConstraint("id", "owner_id")` as well. Then a reference
    is a foreign key over both columns, and the database itself refuses one to another's row.
    """

    owner_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), index=True, sort_order=-9
    )


class Versioned:
    """A number that the trigger `count_version`, which the table's migration creates, counts up
    with each change of the row: what an `ETag` says, and what `If-Match` asks for."""

    version: Mapped[int] = mapped_column(
        server_default=text("1"), server_onupdate=FetchedValue(), sort_order=9
    )


class Timestamped:
    """Times kept by the database. `updated_at` is set by the trigger `set_updated_at` that the
    table's migration creates, so that it is true for plain SQL as well."""

    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), sort_order=10)
    updated_at: Mapped[datetime] = mapped_column(
        server_default=func.now(), server_onupdate=FetchedValue(), sort_order=10
    )
