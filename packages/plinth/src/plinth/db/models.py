"""Base classes of models: named constraints, time zones, integer keys, owners and versions."""

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
from sqlalchemy.orm import (
    DeclarativeBase,
    InstrumentedAttribute,
    Mapped,
    mapped_column,
    registry,
)

NAMING_CONVENTION = {
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
    """Return whether a column of that name usually holds a password, a token or another secret."""
    return _SECRET_NAME.search(name) is not None


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    registry = registry(
        type_annotation_map={datetime: DateTime(timezone=True), int: BigInteger},
    )
    # INSERT and UPDATE return generated values (times, defaults). Otherwise reading such an
    # attribute after a flush would run a query, which fails under asyncio.
    __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012 - SQLAlchemy declares it so


class NumberedBase(Base):
    """A table with a key that the database generates: 1 to 2**63 - 1."""

    __abstract__ = True

    id: Mapped[int] = mapped_column(Identity(), primary_key=True, sort_order=-10)


class Owned:
    """Rows that belong to a user and are deleted with the user.

    A table that others refer to also needs `UniqueConstraint("id", "owner_id")`. A reference is
    then a foreign key over both columns, so that the database refuses a reference to a row of
    another user.
    """

    owner_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), index=True, sort_order=-9
    )


class OrganizationOwned:
    """Rows that belong to an organization and are deleted with it.

    Policies of PostgreSQL hide them from other organizations; `op.enable_tenant_isolation` in the
    table's migration creates these. A table that others refer to also needs
    `UniqueConstraint("id", "organization_id")`, as with `Owned`.
    """

    organization_id: Mapped[int] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"),
        index=True,
        sort_order=-9,
        info={"tenant": True},
    )


def owner_column(model: type[Base]) -> InstrumentedAttribute[int] | None:
    """Return the column with the owner of a row: an organization or a user, if it has one."""
    if issubclass(model, OrganizationOwned):
        return model.organization_id
    return model.owner_id if issubclass(model, Owned) else None


class Versioned:
    """A number that grows with each change of the row, for `ETag` and `If-Match`.

    The trigger `count_version`, which the table's migration creates, increments it.
    """

    version: Mapped[int] = mapped_column(
        server_default=text("1"), server_onupdate=FetchedValue(), sort_order=9
    )


class Timestamped:
    """Times of creation and of the last change, set by the database.

    The trigger `set_updated_at`, which the table's migration creates, covers plain SQL as well.
    """

    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), sort_order=10)
    updated_at: Mapped[datetime] = mapped_column(
        server_default=func.now(), server_onupdate=FetchedValue(), sort_order=10
    )
