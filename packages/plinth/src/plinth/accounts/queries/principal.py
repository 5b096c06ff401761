"""Who is asking: the session and its user, read fresh with each request."""

from collections import namedtuple
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import literal_column, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts.base_user import BaseUser
from plinth.accounts.models import Session, User
from plinth.accounts.queries.session import is_live
from plinth.accounts.user_columns import READABLE
from plinth.db.reading import Query, Reader, in_array

if TYPE_CHECKING:

    class Principal(BaseUser):
        """A user as they were when this request came in, and the session that it is sent in.

        Only read: a named tuple with each column that is not secret.
        """

        session_id: UUID
        session_is_live: bool

else:
    Principal = namedtuple("Principal", (*READABLE, "session_id", "session_is_live"))

# Each by its key: the OFFSET keeps PostgreSQL from joining the tables otherwise. Of a few sessions
# of old users it finds it cheaper to go through all users up to them.
_user = (
    select(*(getattr(User, name) for name in READABLE), User.session_epoch)
    .where(User.id == Session.user_id)
    .offset(literal_column("0"))
    .lateral("their_user")
)
_asking = (
    select(
        *(_user.c[name] for name in READABLE),
        Session.id.label("session_id"),
        is_live(_user.c.session_epoch).label("session_is_live"),
    )
    .select_from(Session)
    .join(_user, true())
)
by_session = Query(_asking.where(in_array(Session.id, "ids")), Principal)


async def load_principals(reader: Reader, session_ids: Sequence[UUID]) -> Mapping[UUID, Principal]:
    rows = await reader.all(by_session, ids=session_ids)
    return {row.session_id: row for row in rows}


async def load_by_token(db: AsyncSession, session_id: UUID, token_hash: bytes) -> Principal | None:
    """Who acts in this session, where this is its token."""
    found = _asking.where(Session.id == session_id, Session.token_hash == token_hash)
    row = (await db.execute(found)).mappings().one_or_none()
    return Principal(**row) if row else None
