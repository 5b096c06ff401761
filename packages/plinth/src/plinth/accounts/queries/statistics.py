"""Statistics for the dashboard of the admin. Not cached, since few people look, and rarely."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import Date, and_, case, cast, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts.models import Event, Session, User
from plinth.accounts.queries.session import is_live

_registered = Event.event.in_(("user.registered", "superuser.created"))
_signed_in = and_(Event.event == "session.started", Event.outcome == "success")
_refused = or_(
    and_(Event.event == "session.started", Event.outcome == "failure"),
    Event.event.in_(("session.limited", "session.replayed")),
)


@dataclass(frozen=True, slots=True)
class Day:
    """Counts of one day in UTC.

    Attributes:
        refusals: failed and rate-limited sign-ins, and replayed refresh tokens.
    """

    date: date
    registrations: int = 0
    logins: int = 0
    refusals: int = 0


@dataclass(frozen=True, slots=True)
class Totals:
    users: int
    active_users: int
    live_sessions: int
    signed_in: int
    """Users with a live session."""


async def count_by_day(db: AsyncSession, *, days: int) -> list[Day]:
    """Return the counts of the last days, oldest first and up to today."""
    today = datetime.now(UTC).date()
    first = today - timedelta(days=days - 1)
    day = cast(func.timezone("UTC", Event.at), Date)
    rows = await db.execute(
        select(
            day,
            func.count(case((_registered, 1))),
            func.count(case((_signed_in, 1))),
            func.count(case((_refused, 1))),
        )
        .where(Event.at >= datetime(first.year, first.month, first.day, tzinfo=UTC))
        .group_by(day)
    )
    counts = {row[0]: Day(*row) for row in rows}
    dates = [first + timedelta(days=number) for number in range(days)]
    return [counts.get(it, Day(it)) for it in dates]


async def get_totals(db: AsyncSession) -> Totals:
    users = await db.execute(select(func.count(), func.count(case((User.is_active, 1)))))
    sessions = await db.execute(
        select(func.count(), func.count(Session.user_id.distinct()))
        .join(User, User.id == Session.user_id)
        .where(is_live(User.session_epoch))
    )
    return Totals(*users.one(), *sessions.one())


async def get_latest_events(db: AsyncSession, *, limit: int) -> Sequence[Event]:
    return (await db.scalars(select(Event).order_by(Event.id.desc()).limit(limit))).all()
