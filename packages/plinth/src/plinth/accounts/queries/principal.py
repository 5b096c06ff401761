"""The principal of a request: the session and its user, read from the database each time."""

from collections import namedtuple
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, literal_column, select, true
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import join as orm_join

from plinth.accounts.base_user import SESSION_FIELDS, BaseUser
from plinth.accounts.models import Session, User
from plinth.accounts.queries.session import is_live, is_own_or_acting
from plinth.accounts.user_columns import READABLE
from plinth.db.reading import Query, Reader, in_array

if TYPE_CHECKING:

    class Principal(BaseUser):
        """The user and the session of a request: a named tuple of all columns that are not secret.

        For type checkers it is a user.

        Attributes:
            acting_user_id: the superuser who impersonates the user, if any.
        """

        session_id: UUID
        session_is_live: bool
        aal: int
        amr: str
        authenticated_at: datetime
        acting_user_id: int | None

else:
    Principal = namedtuple("Principal", (*READABLE, *SESSION_FIELDS))

# OFFSET 0 forces a lookup by primary key for each session. Without it, PostgreSQL may choose a
# merge join that scans the users up to the highest id.
_user = (
    select(*(getattr(User, name) for name in READABLE), User.session_epoch)
    .where(User.id == Session.user_id)
    .offset(literal_column("0"))
    .lateral("their_user")
)
COLUMNS: Sequence[ColumnElement[Any]] = (
    *(_user.c[name] for name in READABLE),
    Session.id.label("session_id"),
    and_(
        is_live(_user.c.session_epoch),
        is_own_or_acting(_user.c.is_superuser),
    ).label("session_is_live"),
    Session.aal.label("aal"),
    Session.amr.label("amr"),
    func.coalesce(Session.authenticated_at, Session.created_at).label("authenticated_at"),
    Session.acting_user_id.label("acting_user_id"),
)
SESSIONS = orm_join(Session, _user, true())
"""Each session with its user, from which `COLUMNS` are selected."""
_principals = select(*COLUMNS).select_from(SESSIONS)
by_session = Query(_principals.where(in_array(Session.id, "ids")), Principal)


async def load_principals(reader: Reader, session_ids: Sequence[UUID]) -> Mapping[UUID, Principal]:
    rows = await reader.all(by_session, ids=session_ids)
    return {row.session_id: row for row in rows}


async def load_by_token(db: AsyncSession, session_id: UUID, token_hash: bytes) -> Principal | None:
    """Return the principal of a session if this is the hash of its token."""
    statement = _principals.where(Session.id == session_id, Session.token_hash == token_hash)
    row = (await db.execute(statement)).mappings().one_or_none()
    return Principal(**row) if row else None
