"""The principal of a request with an API key, read from the database each time."""

from collections import namedtuple
from collections.abc import Collection, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Date,
    and_,
    cast,
    false,
    func,
    literal_column,
    null,
    or_,
    select,
    true,
    type_coerce,
)
from sqlalchemy.orm import join
from sqlalchemy.types import NullType

from plinth.accounts.base_user import SESSION_FIELDS
from plinth.accounts.models import ApiKey, User
from plinth.accounts.queries.principal import Principal
from plinth.accounts.user_columns import READABLE
from plinth.db.reading import Query, Reader, in_array
from plinth.errors import PermissionDenied


class SessionRequired(PermissionDenied):
    code = "session_required"
    detail = "Sign in to continue: an API key has no session"


def _require_session(_: object) -> NoReturn:
    raise SessionRequired


KEY_FIELDS = (  # long names, since an application's users may have a column `key_hash`
    "plinth_key_id",
    "plinth_key_hash",
    "plinth_key_is_live",
    "plinth_key_is_unused_today",
    "plinth_key_scopes",
    "plinth_key_networks",
)


class WithoutSession:
    """A principal of an API key. Reading a field of a session raises `SessionRequired`."""

    __slots__ = ()
    locals().update(
        dict.fromkeys(
            (name for name in SESSION_FIELDS if name != "acting_user_id"),
            property(_require_session),
        )
    )


if TYPE_CHECKING:

    class ApiKeyPrincipal(Principal):
        """The user of a key, in a request with that key. It is never a superuser.

        Reading a field of a session raises `SessionRequired`, so that code which assumes a session
        refuses keys.
        """

    class KeyColumns(Principal):
        """The user of a key, and the columns of the key."""

        plinth_key_id: UUID
        plinth_key_hash: bytes
        plinth_key_is_live: bool
        plinth_key_is_unused_today: bool
        plinth_key_scopes: Collection[str]
        plinth_key_networks: Sequence[IPv4Network | IPv6Network]

    class KeyRow(KeyColumns):
        def to_principal(self) -> ApiKeyPrincipal: ...

else:

    class ApiKeyPrincipal(WithoutSession, Principal):
        __slots__ = ()

    class KeyRow(namedtuple("KeyRow", (*Principal._fields, *KEY_FIELDS))):
        __slots__ = ()

        def to_principal(self) -> ApiKeyPrincipal:
            return tuple.__new__(ApiKeyPrincipal, self[: len(Principal._fields)])


def today() -> Any:
    """Return the date in UTC."""
    return cast(func.timezone(literal_column("'utc'"), func.now()), Date)


# As in queries/principal.py. The flag of superusers is not read, so that no key has it.
_user = (
    select(*(getattr(User, name) for name in READABLE if name != "is_superuser"))
    .where(User.id == ApiKey.user_id)
    .offset(literal_column("0"))
    .lateral("their_user")
)
COLUMNS: Sequence[ColumnElement[Any]] = (
    *(false().label(name) if name == "is_superuser" else _user.c[name] for name in READABLE),
    *(null().label(name) for name in SESSION_FIELDS),
)
"""The columns of `ApiKeyPrincipal`."""
KEY_COLUMNS: Sequence[ColumnElement[Any]] = (
    ApiKey.id.label("plinth_key_id"),
    ApiKey.hash.label("plinth_key_hash"),
    and_(ApiKey.revoked_at.is_(None), ApiKey.expires_at > func.now()).label("plinth_key_is_live"),
    or_(ApiKey.last_used_on.is_(None), ApiKey.last_used_on < today()).label(
        "plinth_key_is_unused_today"
    ),
    # Without SQLAlchemy's conversion of arrays: asyncpg returns lists.
    type_coerce(ApiKey.scopes, NullType).label("plinth_key_scopes"),
    type_coerce(ApiKey.networks, NullType).label("plinth_key_networks"),
)
KEYS = join(ApiKey, _user, true())
"""Each key with its user, from which `COLUMNS` and `KEY_COLUMNS` are selected."""
_keys = select(*COLUMNS, *KEY_COLUMNS).select_from(KEYS)
by_key = Query(_keys.where(in_array(ApiKey.id, "ids")), KeyRow)


async def load_keys(reader: Reader, key_ids: Sequence[UUID]) -> Mapping[UUID, KeyRow]:
    rows = await reader.all(by_key, ids=key_ids)
    return {row.plinth_key_id: row for row in rows}
