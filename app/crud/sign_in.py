"""A sign-in: whom an e-mail means, and the session that begins. Each is one statement."""

from collections.abc import Mapping
from datetime import timedelta
from typing import NamedTuple, cast
from uuid import UUID

from sqlalchemy import Interval, Table, bindparam, func, insert, select

from app.core.addresses import lookup_keys
from app.core.client import Client
from app.core.config import settings
from app.core.database import Database
from app.core.reading import Query, Reader
from app.crud import event
from app.crud.session import expiry
from app.crud.user import having_email
from app.models import Session, User


class Candidate(NamedTuple):
    """Whoever has an e-mail, as they were when they were looked up."""

    id: int
    hashed_password: str
    is_active: bool
    is_superuser: bool


_found = Query(
    having_email(select(User.id, User.hashed_password, User.is_active, User.is_superuser))
)

_held = (
    select(User.id)
    .where(User.id == bindparam("user_id"), User.hashed_password == bindparam("hashed_password"))
    .where(User.is_active)
    .with_for_update(read=True)
    .cte("held")
)
_ends_at = func.now() + bindparam("lifetime", type_=Interval)
_new = {
    Session.id: bindparam("session_id", type_=Session.id.type),
    Session.user_id: _held.c.id,
    Session.token_hash: bindparam("token_hash", type_=Session.token_hash.type),
    Session.expires_at: func.least(_ends_at, expiry()),
    Session.ends_at: _ends_at,
    Session.ip: bindparam("ip", type_=Session.ip.type),
    Session.user_agent: bindparam("user_agent", type_=Session.user_agent.type),
}
_begun = (
    insert(cast("Table", Session.__table__))
    .from_select([column.key for column in _new], select(*_new.values()))
    .returning(Session.id, Session.user_id)
    .cte("begun")
)
_told = event.adding(
    _begun, actor_id=_begun.c.user_id, subject_id=_begun.c.user_id, session_id=_begun.c.id
)
_beginning = Query(select(_begun.c.id).add_cte(_told.cte("told")))


async def find(reader: Reader, email: str) -> Candidate | None:
    rows = await reader.all(_found, keys=lookup_keys(email))
    return Candidate(*rows[0]) if rows else None


async def begin_session(
    database: Database,
    user: Candidate,
    *,
    session_id: UUID,
    token_hash: bytes,
    client: Client,
    lifetime: timedelta | None,
    told: Mapping[str, object],
) -> bool:
    """Of one whose password was found right; with the audit log's row. When this returns, both are
    durable. False where the user is another by now: without that, a session by an old password
    could be written just after the change of that password had ended all of them.

    Args:
        lifetime: after which it ends, used or not; None leaves it to the settings.
    """
    longest = timedelta(days=settings.SESSION_ABSOLUTE_DAYS)
    begun = await database.in_one_statement(
        _beginning,
        user_id=user.id,
        hashed_password=user.hashed_password,
        session_id=session_id,
        token_hash=token_hash,
        lifetime=min(lifetime or longest, longest),
        ip=client.ip,
        user_agent=client.user_agent,
        **event.as_values(told),
    )
    return bool(begun)
