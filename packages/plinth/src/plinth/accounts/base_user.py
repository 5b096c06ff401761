"""The user model that an application subclasses once: `class User(BaseUser)`."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar, cast

from sqlalchemy import (
    ColumnElement,
    FetchedValue,
    Index,
    String,
    Table,
    Text,
    func,
    inspect,
    literal_column,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, validates

from plinth import project
from plinth.db.models import NumberedBase, Timestamped
from plinth.security.addresses import canonical

# What a search looks through, in one expression, so that one trigram index serves it. A line feed,
# which neither a column nor a query may hold, stands between the columns: a match never reaches
# over from one into the next. It is written as PostgreSQL prints it, by which alembic compares.
SEARCHED: ColumnElement[str] = literal_column(
    "(((users.email || '\n') || users.username) || '\n') || COALESCE(users.full_name, '')", String
)

# Fields that the library adds to a user's: the session of a request, and a password that comes in.
RESERVED = frozenset({"session_id", "session_is_live", "password", "current_password"})


class UserModelError(TypeError):
    """The application's user model cannot be used."""


class BaseUser(Timestamped, NumberedBase):
    """Base of the table `users`. Subclass it once, in `models/user.py` of the application.

    The subclass declares columns of its own. What is shown, loaded with each request, imported,
    exported, erased and edited in the admin follows from the columns. `info={"secret": True}` keeps
    one out of all that is shown.

    Attributes:
        email: as it was typed, in Unicode's usual forms; mail goes there.
        email_canonical: the unique key by which the account is found. Where plain SQL or the
            previous release leaves it out, the trigger `set_email_canonical` fills it in.
        session_epoch: a session is live only while it has the same value, so that one increment
            ends all sessions of the user.
        credential_epoch: counted by the trigger `count_credential_epoch` with each change of
            password, e-mail, role or active flag. What was given out before such a change and must
            not outlive it is bound to the value.

    Raises:
        UserModelError: at the definition of a second subclass, or of one with a column whose name
            the library needs.
    """

    __abstract__ = True
    __tablename__ = "users"

    registered: ClassVar[type["BaseUser"] | None] = None
    """The application's class, once it is defined."""

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

    def __init_subclass__(cls, **options: Any) -> None:
        if cls.__dict__.get("__abstract__"):  # columns that a team shares between models
            super().__init_subclass__(**options)
            return
        if BaseUser.registered is not None:
            raise UserModelError(
                f"{_name(cls)} is a second user model: {_name(BaseUser.registered)} has the table "
                "users already. Declare the columns of both in one subclass of BaseUser, and "
                "import it from one place only."
            )
        super().__init_subclass__(**options)
        _check_names(cls)
        _add_indexes(cls)
        BaseUser.registered = cls

    @validates("email")
    def _set_canonical(self, _: str, email: str) -> str:
        self.email_canonical = canonical(email)
        return email

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id})"


def load_user_model() -> type[BaseUser]:
    """Return the registered class; import the application's `models.user` where there is none yet.

    Without an application, or where it has no such module, that is a class without other columns.

    Raises:
        UserModelError: that module defines no subclass of BaseUser.
    """
    if BaseUser.registered is None:
        name = f"{project.find_package()}.models.user"
        if _exists(name):
            import_module(name)
            if BaseUser.registered is None:
                raise UserModelError(
                    f"{name} must define one subclass of BaseUser, and do so before it imports "
                    "anything else of plinth.accounts: `from plinth.accounts import BaseUser`"
                )
        else:

            class User(BaseUser):
                """The table of users."""

    assert BaseUser.registered is not None
    return BaseUser.registered


def _exists(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError as error:
        # A package above it; any other module is missing in the application's own code.
        if error.name and f"{name}.".startswith(f"{error.name}."):
            return False
        raise


def _name(model: type[Any]) -> str:
    return f"{model.__module__}.{model.__qualname__}"


def _check_names(model: type[BaseUser]) -> None:
    for name in inspect(model).column_attrs.keys():  # noqa: SIM118
        if name in RESERVED or name.startswith("_"):
            raise UserModelError(
                f"{_name(model)}.{name} cannot be a column: the library uses the name. Take "
                "another, without an underscore at its start."
            )


def _add_indexes(model: type[BaseUser]) -> None:
    """Add the library's to the mapped table; `__table_args__` belongs to the application."""
    # The name is older than the column. During a rolling deploy, the previous release recognizes by
    # it that an address is taken.
    Index(
        "uq_users_email_lower",
        model.email_canonical,
        unique=True,
        info={"violated": ("email_taken", "Email already registered")},
    )
    # Only the previous release looks people up by it. To be dropped by the next major version.
    Index("ix_users_email_lower", func.lower(model.email))
    Index(
        "uq_users_username_lower",
        func.lower(model.username),
        unique=True,
        info={"violated": ("username_taken", "Username already taken")},
    )
    Index(
        "ix_users_search_trgm",
        SEARCHED.label("searched"),
        _table=cast("Table", model.__table__),
        postgresql_using="gin",
        postgresql_ops={"searched": "gin_trgm_ops"},
    )
    Index("ix_users_created_at", model.created_at.desc(), model.id.desc())
    Index(
        "ix_users_active",
        model.created_at.desc(),
        model.id.desc(),
        postgresql_where=model.is_active,
    )
