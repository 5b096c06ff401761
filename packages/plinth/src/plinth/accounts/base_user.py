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

# One expression for all searched columns, so that one trigram index is enough. The separator is a
# line feed, which is allowed in neither column nor query, so no match spans two columns. The
# spelling is that of PostgreSQL, since alembic compares the text.
SEARCHED: ColumnElement[str] = literal_column(
    "(((users.email || '\n') || users.username) || '\n') || COALESCE(users.full_name, '')", String
)

SESSION_FIELDS = (
    "session_id",
    "session_is_live",
    "aal",
    "amr",
    "authenticated_at",
    "acting_user_id",
)
"""The fields that `Principal` adds to the columns of the user."""

# Names of fields that `Principal` and the schemas add to the columns.
RESERVED = frozenset({*SESSION_FIELDS, "password", "current_password"})


class UserModelError(TypeError):
    """The application's user model cannot be used."""


class BaseUser(Timestamped, NumberedBase):
    """Base class of the table `users`. Subclass it once, in `models/user.py` of the application.

    The subclass may declare more columns. They are loaded with each request, imported, exported,
    erased, and shown and edited in the admin. `info={"secret": True}` hides a column.

    Attributes:
        email: the e-mail as typed, normalized to Unicode NFC. Mails are sent to it.
        email_canonical: the unique key for lookups. The trigger `set_email_canonical` sets it if
            plain SQL or the previous release leaves it out.
        session_epoch: a session is live only while it has the same value, so one increment revokes
            all sessions of the user.
        credential_epoch: incremented by the trigger `count_credential_epoch` with each change of
            password, e-mail, role or active flag. Device cookies and rate limits are bound to it,
            so such a change resets them.

    Raises:
        UserModelError: at the definition of a second subclass, or of a column with a reserved name.
    """

    __abstract__ = True
    __tablename__ = "users"

    registered: ClassVar[type["BaseUser"] | None] = None
    """The application's subclass, once it is defined."""

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
        if cls.__dict__.get("__abstract__"):  # a mixin of the application
            super().__init_subclass__(**options)
            return
        if BaseUser.registered is not None:
            raise UserModelError(
                f"{_name(cls)} is a second user model: {_name(BaseUser.registered)} already maps "
                "the table users. Declare all columns in one subclass of BaseUser, and import it "
                "from one module only."
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
    """Return the user model of the application. Import its `models.user` if necessary.

    Without an application, or without that module, return a class without additional columns.

    Raises:
        UserModelError: the module does not define a subclass of BaseUser.
    """
    if BaseUser.registered is None:
        name = f"{project.find_package()}.models.user"
        if _exists(name):
            import_module(name)
            if BaseUser.registered is None:
                raise UserModelError(
                    f"{name} must define one subclass of BaseUser before it imports anything else "
                    "from plinth.accounts: start with `from plinth.accounts import BaseUser`"
                )
        else:

            class User(BaseUser):
                pass

    assert BaseUser.registered is not None
    return BaseUser.registered


def _exists(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError as error:
        # A parent package is missing. Any other missing module is an error in the application.
        if error.name and f"{name}.".startswith(f"{error.name}."):
            return False
        raise


def _name(model: type[Any]) -> str:
    return f"{model.__module__}.{model.__qualname__}"


def _check_names(model: type[BaseUser]) -> None:
    for name in inspect(model).column_attrs.keys():  # noqa: SIM118
        if name in RESERVED or name.startswith("_"):
            raise UserModelError(
                f"{_name(model)}.{name} cannot be a column: the name is reserved. Rename it; the "
                "new name must not start with an underscore."
            )


def _add_indexes(model: type[BaseUser]) -> None:
    """Add the library's indexes. `__table_args__` is left to the application."""
    # The name predates the column. During a rolling deployment, the previous release maps it to
    # the error "email_taken".
    Index(
        "uq_users_email_lower",
        model.email_canonical,
        unique=True,
        info={"violated": ("email_taken", "Email already registered")},
    )
    # Only the previous release uses this index. Drop it in the next major version.
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
