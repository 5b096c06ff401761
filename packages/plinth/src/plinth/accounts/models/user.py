from typing import cast

from sqlalchemy import (
    ColumnElement,
    FetchedValue,
    Index,
    String,
    Table,
    Text,
    func,
    literal_column,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, validates

from plinth.db.models import NumberedBase, Timestamped
from plinth.security.addresses import canonical


class User(Timestamped, NumberedBase):
    """
    Attributes:
        email: as it was typed, in Unicode's usual forms; mail goes there.
        email_canonical: the unique key by which the account is found. Where plain SQL or the
            previous release leaves it out, the trigger `set_email_canonical` fills it in.
        session_epoch: a session is live only while it has the same value, so that one increment
            ends all sessions of the user.
        credential_epoch: counted by the trigger `count_credential_epoch` with each change of
            password, e-mail, role or active flag. What was given out before such a change and must
            not outlive it is bound to the value.
    """

    __tablename__ = "users"

    email: Mapped[str] = mapped_column(String(255))
    email_canonical: Mapped[str] = mapped_column(
        Text(collation="C"), server_default=FetchedValue(), info={"secret": True}
    )
    username: Mapped[str] = mapped_column(String(50))
    hashed_password: Mapped[str] = mapped_column(String(255), info={"secret": True})
    full_name: Mapped[str | None] = mapped_column(String(255))
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    is_superuser: Mapped[bool] = mapped_column(server_default=text("false"))
    is_verified: Mapped[bool] = mapped_column(server_default=text("false"))
    session_epoch: Mapped[int] = mapped_column(server_default=text("0"), info={"secret": True})
    credential_epoch: Mapped[int] = mapped_column(
        server_default=text("0"), server_onupdate=FetchedValue(), info={"secret": True}
    )

    @validates("email")
    def _set_canonical(self, _: str, email: str) -> str:
        self.email_canonical = canonical(email)
        return email

    def __repr__(self) -> str:
        return f"User(id={self.id})"


# What a search looks through, in one expression, so that one trigram index serves it. A line feed,
# which neither a column nor a query may hold, stands between the columns: a match never reaches
# over from one into the next. It is written as PostgreSQL prints it, by which alembic compares.
SEARCHED: ColumnElement[str] = literal_column(
    "(((users.email || '\n') || users.username) || '\n') || COALESCE(users.full_name, '')", String
)

# The name is older than the column. During a rolling deploy, the previous release recognizes by it
# that an address is taken.
Index(
    "uq_users_email_lower",
    User.email_canonical,
    unique=True,
    info={"violated": ("email_taken", "Email already registered")},
)
# Only the previous release looks people up by it. To be dropped by the next major version.
Index("ix_users_email_lower", func.lower(User.email))
Index(
    "uq_users_username_lower",
    func.lower(User.username),
    unique=True,
    info={"violated": ("username_taken", "Username already taken")},
)
Index(
    "ix_users_search_trgm",
    SEARCHED.label("searched"),
    _table=cast("Table", User.__table__),
    postgresql_using="gin",
    postgresql_ops={"searched": "gin_trgm_ops"},
)
Index("ix_users_created_at", User.created_at.desc(), User.id.desc())
Index(
    "ix_users_active",
    User.created_at.desc(),
    User.id.desc(),
    postgresql_where=User.is_active,
)
