"""A sign-in: whom an e-mail means, and the session that begins. Each is one statement."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple, Protocol, cast
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Interval,
    Table,
    bindparam,
    column,
    func,
    insert,
    literal,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts.models import Session, User
from plinth.accounts.queries import event
from plinth.accounts.queries.session import expiry
from plinth.accounts.queries.users import having_email
from plinth.config import settings
from plinth.db.database import Database
from plinth.db.reading import Query, Readable, read_one, select_columns
from plinth.request.client import Client
from plinth.security.addresses import lookup_keys

OVER_LIMIT_REASON = "more than SESSIONS_PER_USER sessions"  # at most 50 characters


class Candidate(NamedTuple):
    """Whoever has an e-mail, as they were when they were looked up."""

    id: int
    hashed_password: str
    is_active: bool
    is_superuser: bool
    credential_epoch: int


class Proven(Protocol):
    """A user as they were when they proved who they are: a `Candidate`, or a row of the ORM."""

    @property
    def id(self) -> int: ...
    @property
    def hashed_password(self) -> str: ...


class Begun(NamedTuple):
    """
    Attributes:
        user: the columns of `User` that are not secret, as they are now.
        surplus: the sessions that ended for this one, where nothing was written about them yet.
    """

    user: User
    credential_epoch: int
    surplus: Sequence[UUID]


_found = Query(having_email(select(*(getattr(User, name) for name in Candidate._fields))))

# Sign-ins of one user wait here for each other, so that the bound on sessions is exact.
_held = (
    select_columns(User)
    .add_columns(User.session_epoch, User.credential_epoch)
    .where(User.id == bindparam("user_id"), User.hashed_password == bindparam("hashed_password"))
    .where(User.is_active)
    .with_for_update(key_share=True)
    .cte("held")
)
_ends_at = func.now() + bindparam("lifetime", type_=Interval)
_new = {
    Session.id: bindparam("session_id", type_=Session.id.type),
    Session.user_id: _held.c.id,
    Session.session_epoch: _held.c.session_epoch,
    Session.token_hash: bindparam("token_hash", type_=Session.token_hash.type),
    Session.expires_at: func.least(_ends_at, expiry()),
    Session.ends_at: _ends_at,
    Session.ip: bindparam("ip", type_=Session.ip.type),
    Session.user_agent: bindparam("user_agent", type_=Session.user_agent.type),
}
_begun = (
    insert(cast("Table", Session.__table__))
    .from_select([column.key for column in _new], select(*_new.values()))
    .returning(Session.id, Session.user_id, Session.session_epoch)
    .cte("begun")
)
_ended = (
    func.end_surplus_sessions(
        _begun.c.user_id,
        _begun.c.session_epoch,
        _begun.c.id,
        bindparam("most", type_=BigInteger),
        literal(OVER_LIMIT_REASON),
    )
    .table_valued(column("id", Session.id.type))
    .render_derived()
)
_surplus = (
    select(_ended.c.id, _begun.c.user_id).select_from(_begun).join(_ended, true()).cte("surplus")
)
_reported = event.adding(
    _begun, actor_id=_begun.c.user_id, subject_id=_begun.c.user_id, session_id=_begun.c.id
)
_reported_surplus = event.adding(
    _surplus,
    event=literal("session.ended"),
    actor_id=_surplus.c.user_id,
    subject_id=_surplus.c.user_id,
    session_id=_surplus.c.id,
    reason=literal(OVER_LIMIT_REASON),
)
# The main query counts the surplus, so that those sessions end before an event is written: the
# chain of events is the last lock that is taken.
_user = select(*(it for it in _held.c if it.name != "session_epoch")).join(_begun, true())
_beginning = Query(
    _user.add_columns(
        select(func.count()).select_from(_surplus).scalar_subquery().label("ended")
    ).add_cte(_reported.cte("told"), _reported_surplus.cte("told_surplus"))
)
# In a transaction with other work the events come last, by `audit.record`.
_beginning_with_others = Query(
    _user.add_columns(
        select(func.array_agg(_surplus.c.id, type_=ARRAY(Session.id.type)))
        .scalar_subquery()
        .label("ended")
    )
)


async def find(db: Readable, email: str) -> Candidate | None:
    row = await read_one(db, _found, keys=lookup_keys(email))
    return Candidate(*row) if row else None


async def begin_session(
    db: Database | AsyncSession,
    user: Proven,
    *,
    session_id: UUID,
    token_hash: bytes,
    client: Client,
    lifetime: timedelta | None,
    told: Mapping[str, object],
) -> Begun | None:
    """Begin a session of a user who proved who they are. With more than `SESSIONS_PER_USER`, the
    least recently used one ends.

    Args:
        db: with a `Database` this is one statement and the whole transaction, with the events of
            the audit log: when it returns, all is durable. With a session it is part of the
            caller's transaction, and the caller writes the events.
        lifetime: after which it ends, used or not; None leaves it to the settings.
        told: the event for the first case.

    Returns:
        None where the user's password or active flag is another by now: without that, a session by
        an old password could be written just after the change of that password had ended all of
        them.
    """
    longest = timedelta(days=settings.SESSION_ABSOLUTE_DAYS)
    values = {
        "user_id": user.id,
        "hashed_password": user.hashed_password,
        "session_id": session_id,
        "token_hash": token_hash,
        "lifetime": min(lifetime or longest, longest),
        "ip": client.ip,
        "user_agent": client.user_agent,
        "most": settings.SESSIONS_PER_USER,
    }
    if isinstance(db, Database):
        rows = await db.in_one_statement(_beginning, **values, **event.as_values(told))
        return Begun(rows[0], rows[0].credential_epoch, ()) if rows else None
    await db.flush()
    row = await read_one(db, _beginning_with_others, **values)
    return Begun(cast("User", row), row.credential_epoch, row.ended or ()) if row else None
