"""The two statements of a sign-in: find the account of an e-mail, and start its session."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol, cast
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Integer,
    Interval,
    Table,
    and_,
    bindparam,
    column,
    func,
    insert,
    literal,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts.models import Session, User
from plinth.accounts.queries import factor
from plinth.accounts.queries.event import bind_values, insert_from
from plinth.accounts.queries.session import expiry
from plinth.accounts.queries.users import filter_by_email
from plinth.config import settings
from plinth.db.database import Database
from plinth.db.reading import Query, Readable, read_one, select_columns
from plinth.request.client import Client
from plinth.security.addresses import lookup_keys

UNLIMITED = 2**31 - 1
OVER_LIMIT_REASON = "more than SESSIONS_PER_USER sessions"  # at most 50 characters


class Candidate(NamedTuple):
    """The account of an e-mail, before its password is verified."""

    id: int
    hashed_password: str
    is_active: bool
    is_superuser: bool
    credential_epoch: int


class Account(Protocol):
    """A user with the `credential_epoch` of the time of authentication."""

    @property
    def id(self) -> int: ...
    @property
    def credential_epoch(self) -> int: ...


class Acting(NamedTuple):
    """A superuser who impersonates the user of a new session."""

    user_id: int
    session_id: UUID


class StartedSession(NamedTuple):
    """
    Attributes:
        user: the columns of `User` that are not secret.
        surplus: the sessions over `SESSIONS_PER_USER` that were ended and are not yet audited.
    """

    user: User
    credential_epoch: int
    surplus: Sequence[UUID]


_candidate_query = Query(
    filter_by_email(select(*(getattr(User, name) for name in Candidate._fields)))
)

# The lock serializes the sign-ins of one user, so that `SESSIONS_PER_USER` is exact.
_locked_user = (
    select_columns(User)
    .add_columns(User.session_epoch, User.credential_epoch)
    .where(User.id == bindparam("user_id"), User.credential_epoch == bindparam("epoch"))
    .where(User.is_active)
    .where(
        or_(
            bindparam("aal", type_=Integer) >= factor.TWO_FACTORS,
            and_(not_(factor.has_confirmed()), not_(factor.is_required())),
        )
    )
    .with_for_update(key_share=True)
    .cte("locked")
)
_ends_at = func.now() + bindparam("lifetime", type_=Interval)
_values = {
    Session.id: bindparam("session_id", type_=Session.id.type),
    Session.user_id: _locked_user.c.id,
    Session.session_epoch: _locked_user.c.session_epoch,
    Session.token_hash: bindparam("token_hash", type_=Session.token_hash.type),
    Session.expires_at: func.least(_ends_at, expiry()),
    Session.ends_at: _ends_at,
    Session.ip: bindparam("ip", type_=Session.ip.type),
    Session.user_agent: bindparam("user_agent", type_=Session.user_agent.type),
    Session.aal: bindparam("aal", type_=Integer),
    Session.amr: bindparam("amr", type_=Session.amr.type),
    # LEAST ignores NULL.
    Session.authenticated_at: func.least(
        func.now(), bindparam("authenticated_at", type_=Session.authenticated_at.type)
    ),
    Session.acting_user_id: bindparam("acting_user_id", type_=BigInteger),
    Session.acting_session_id: bindparam("acting_session_id", type_=Session.id.type),
}
_new_session = (
    insert(cast("Table", Session.__table__))
    .from_select([column.key for column in _values], select(*_values.values()))
    .returning(Session.id, Session.user_id, Session.session_epoch)
    .cte("new_session")
)
_ended_ids = (
    func.end_surplus_sessions(
        _new_session.c.user_id,
        _new_session.c.session_epoch,
        _new_session.c.id,
        bindparam("max_sessions", type_=BigInteger),
        literal(OVER_LIMIT_REASON),
    )
    .table_valued(column("id", Session.id.type))
    .render_derived()
)
_surplus = (
    select(_ended_ids.c.id, _new_session.c.user_id)
    .select_from(_new_session)
    .join(_ended_ids, true())
    .cte("surplus")
)
_insert_event = insert_from(
    _new_session,
    actor_id=_new_session.c.user_id,
    subject_id=_new_session.c.user_id,
    session_id=_new_session.c.id,
)
_insert_surplus_events = insert_from(
    _surplus,
    event=literal("session.ended"),
    actor_id=_surplus.c.user_id,
    subject_id=_surplus.c.user_id,
    session_id=_surplus.c.id,
    reason=literal(OVER_LIMIT_REASON),
)
# The main query counts the surplus sessions, so they are ended before an event is written: the hash
# chain must be the last lock.
_result = select(*(it for it in _locked_user.c if it.name != "session_epoch")).join(
    _new_session, true()
)
_start_query = Query(
    _result.add_columns(
        select(func.count()).select_from(_surplus).scalar_subquery().label("ended")
    ).add_cte(_insert_event.cte("event"), _insert_surplus_events.cte("surplus_events"))
)
# In a longer transaction, `audit.record` writes the events before the commit.
_start_in_transaction_query = Query(
    _result.add_columns(
        select(func.array_agg(_surplus.c.id, type_=ARRAY(Session.id.type)))
        .scalar_subquery()
        .label("ended")
    )
)


async def find_candidate(db: Readable, email: str) -> Candidate | None:
    """Return the account of an e-mail, in any spelling, active or not."""
    row = await read_one(db, _candidate_query, keys=lookup_keys(email))
    return Candidate(*row) if row else None


async def start_session(
    db: Database | AsyncSession,
    user: Account,
    *,
    session_id: UUID,
    token_hash: bytes,
    aal: int,
    amr: str,
    client: Client,
    lifetime: timedelta | None,
    event: Mapping[str, object],
    authenticated_at: datetime | None = None,
    acting: Acting | None = None,
) -> StartedSession | None:
    """Start a session. Over `SESSIONS_PER_USER`, end the least recently used one.

    Args:
        db: with a `Database`, one statement writes the session and the audit events in its own
            transaction, which is durable when this returns. With a session, this is part of the
            caller's transaction, and the caller writes the events.
        aal: authenticator assurance level, 1 or 2.
        amr: the methods, as in `Session`.
        lifetime: absolute lifetime; `SESSION_ABSOLUTE_DAYS` by default and at most.
        event: the audit event, written only with a `Database`.
        authenticated_at: when the user authenticated; now by default and at the latest.
        acting: the superuser who impersonates the user. The session then ends no session of theirs.

    Returns:
        None if the user needs a second factor and `aal` is 1, or if the credentials or the active
        flag have changed. Otherwise a session for the old password could be written just after a
        password change has revoked all sessions.
    """
    longest = timedelta(days=settings.SESSION_ABSOLUTE_DAYS)
    values = {
        "user_id": user.id,
        "epoch": user.credential_epoch,
        "aal": aal,
        "amr": amr,
        "authenticated_at": authenticated_at,
        **factor.policy(),
        "session_id": session_id,
        "token_hash": token_hash,
        "lifetime": min(lifetime or longest, longest),
        "ip": client.ip,
        "user_agent": client.user_agent,
        "max_sessions": settings.SESSIONS_PER_USER if acting is None else UNLIMITED,
        "acting_user_id": acting.user_id if acting else None,
        "acting_session_id": acting.session_id if acting else None,
    }
    if isinstance(db, Database):
        rows = await db.execute_autocommit(_start_query, **values, **bind_values(event))
        return StartedSession(rows[0], rows[0].credential_epoch, ()) if rows else None
    await db.flush()
    row = await read_one(db, _start_in_transaction_query, **values)
    return StartedSession(cast("User", row), row.credential_epoch, row.ended or ()) if row else None
