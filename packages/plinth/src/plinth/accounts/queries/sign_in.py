"""A sign-in: whom an e-mail means, and the session that begins. Each is one statement."""

from collections.abc import Mapping
from datetime import timedelta
from typing import NamedTuple, cast
from uuid import UUID

from sqlalchemy import (
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

from plinth.accounts.models import Session, User
from plinth.accounts.queries import event
from plinth.accounts.queries.session import expiry
from plinth.accounts.queries.users import having_email
from plinth.config import settings
from plinth.db.database import Database
from plinth.db.reading import Query, Readable, read_one
from plinth.request.client import Client
from plinth.security.addresses import lookup_keys

SURPLUS = "more than SESSIONS_PER_USER sessions"  # at most 50 characters


class Candidate(NamedTuple):
    """Whoever has an e-mail, as they were when they were looked up."""

    id: int
    hashed_password: str
    is_active: bool
    is_superuser: bool
    credential_epoch: int


_found = Query(having_email(select(*(getattr(User, name) for name in Candidate._fields))))

# Sign-ins of one user wait here for each other, so that the bound on sessions is exact.
_held = (
    select(User.id, User.session_epoch, User.credential_epoch)
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
        literal(SURPLUS),
    )
    .table_valued(column("id", Session.id.type))
    .render_derived()
)
_surplus = (
    select(_ended.c.id, _begun.c.user_id).select_from(_begun).join(_ended, true()).cte("surplus")
)
_told = event.adding(
    _begun, actor_id=_begun.c.user_id, subject_id=_begun.c.user_id, session_id=_begun.c.id
)
_told_surplus = event.adding(
    _surplus,
    event=literal("session.ended"),
    actor_id=_surplus.c.user_id,
    subject_id=_surplus.c.user_id,
    session_id=_surplus.c.id,
    reason=literal(SURPLUS),
)
# The main query counts the surplus, so that those sessions end before an event is written: the
# chain of events is the last lock that is taken.
_beginning = Query(
    select(
        _held.c.credential_epoch,
        select(func.count()).select_from(_surplus).scalar_subquery().label("ended"),
    )
    .select_from(_begun)
    .join(_held, true())
    .add_cte(_told.cte("told"), _told_surplus.cte("told_surplus"))
)


async def find(db: Readable, email: str) -> Candidate | None:
    row = await read_one(db, _found, keys=lookup_keys(email))
    return Candidate(*row) if row else None


async def begin_session(
    database: Database,
    user: Candidate,
    *,
    session_id: UUID,
    token_hash: bytes,
    client: Client,
    lifetime: timedelta | None,
    told: Mapping[str, object],
) -> int | None:
    """Of one whose password was found right; with the audit log's row. When this returns, both are
    durable. With more than `SESSIONS_PER_USER`, the least recently used one ends.

    Returns:
        The user's `credential_epoch`. None where the user is another by now: without that, a
        session by an old password could be written just after the change of that password had ended
        all of them.

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
        most=settings.SESSIONS_PER_USER,
        **event.as_values(told),
    )
    return begun[0].credential_epoch if begun else None
