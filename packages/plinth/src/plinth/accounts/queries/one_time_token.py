"""One-time tokens. Of one purpose a user has a newest one, and a few earlier ones that were sent to
the same address. They end together: when one is used, all are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    ColumnExpressionArgument,
    CompoundSelect,
    Interval,
    Table,
    bindparam,
    delete,
    func,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from plinth.accounts.models import EarlierOneTimeToken, OneTimeToken, User

MAX_PENDING = 5  # of one purpose; past it, the oldest is void


@dataclass(frozen=True, slots=True)
class UsedToken:
    purpose: str
    email: str
    session_id: UUID | None


# Not by the columns' names: in an INSERT those are the values.
_user: BindParameter[int] = bindparam("of_user")
_purpose: BindParameter[str] = bindparam("of_purpose")
_email: BindParameter[str] = bindparam("to_email")
_is_newest = (OneTimeToken.user_id == _user, OneTimeToken.purpose == _purpose)
_earlier = aliased(EarlierOneTimeToken)
_kept = (
    insert(EarlierOneTimeToken)
    .from_select(
        ["newest_id", "token_hash", "expires_at"],
        select(OneTimeToken.id, OneTimeToken.token_hash, OneTimeToken.expires_at).where(
            *_is_newest, OneTimeToken.email == _email, OneTimeToken.expires_at > func.now()
        ),
    )
    .cte("kept")
)
_dropped = (
    delete(EarlierOneTimeToken)
    .where(EarlierOneTimeToken.newest_id == OneTimeToken.id, *_is_newest)
    .where(
        or_(
            OneTimeToken.email != _email,
            EarlierOneTimeToken.id.not_in(
                select(_earlier.id)
                .where(_earlier.newest_id == OneTimeToken.id)
                .order_by(_earlier.id.desc())
                .limit(MAX_PENDING - 2)  # beside the newest one so far, and the new one
                .correlate(OneTimeToken)
            ),
        )
    )
    .cte("dropped")
)
_new = insert(cast("Table", OneTimeToken.__table__)).values(
    created_at=func.now(), expires_at=func.now() + bindparam("lifetime", type_=Interval)
)
_put = (
    _new.on_conflict_do_update(
        index_elements=[OneTimeToken.user_id, OneTimeToken.purpose],
        set_={
            name: _new.excluded[name]
            for name in ("token_hash", "email", "session_id", "created_at", "expires_at")
        },
    )
    .returning(OneTimeToken.expires_at)
    .add_cte(_kept, _dropped)
)
_holds = (OneTimeToken.expires_at > func.now(), User.id == OneTimeToken.user_id, User.is_active)


async def put(
    db: AsyncSession,
    *,
    user_id: int,
    purpose: str,
    token_hash: bytes,
    email: str,
    session_id: UUID | None,
    lifetime: timedelta,
) -> datetime:
    """Store a token and return when it expires.

    Up to `MAX_PENDING` of one purpose and address are valid at once; one to another address voids
    those before it. The user's row has to be locked, or new: else of two at once one gets lost.
    """
    given = {
        "user_id": user_id,
        "purpose": purpose,
        "token_hash": token_hash,
        "email": email,
        "session_id": session_id,
        "lifetime": lifetime,
        "of_user": user_id,
        "of_purpose": purpose,
        "to_email": email,
    }
    expires_at: datetime = (await db.execute(_put, given)).scalar_one()
    return expires_at


async def find_owner(db: AsyncSession, token_hash: bytes, purposes: Sequence[str]) -> int | None:
    """Whose it is, if it holds; `use` decides."""
    return await db.scalar(select(OneTimeToken.user_id).where(*_usable(token_hash, purposes)))


async def use(db: AsyncSession, token_hash: bytes, purposes: Sequence[str]) -> UsedToken | None:
    """Remove the token and those beside it. Of many at once, one gets it."""
    answer = await db.execute(
        delete(OneTimeToken)
        .where(*_usable(token_hash, purposes))
        .returning(OneTimeToken.purpose, OneTimeToken.email, OneTimeToken.session_id)
        .execution_options(synchronize_session=False)
    )
    row = answer.one_or_none()
    return UsedToken(*row) if row else None


async def get_pending(db: AsyncSession, user_id: int, purpose: str) -> OneTimeToken | None:
    found = select(OneTimeToken).where(
        OneTimeToken.user_id == user_id, OneTimeToken.purpose == purpose, *_holds
    )
    return await db.scalar(found)


async def get_addresses(db: AsyncSession, user_id: int) -> Sequence[str]:
    """Where mails with a link went, whether it holds or not."""
    found = select(OneTimeToken.email).where(OneTimeToken.user_id == user_id)
    return (await db.scalars(found)).all()


async def void(db: AsyncSession, user_id: int, purpose: str | None = None) -> None:
    """A user's tokens, of one purpose or all."""
    gone = delete(OneTimeToken).where(OneTimeToken.user_id == user_id)
    if purpose:
        gone = gone.where(OneTimeToken.purpose == purpose)
    await db.execute(gone.execution_options(synchronize_session=False))


async def purge(db: AsyncSession) -> None:
    for table in (EarlierOneTimeToken, OneTimeToken):
        gone = delete(table).where(table.expires_at < func.now())
        await db.execute(gone.execution_options(synchronize_session=False))


def _usable(token_hash: bytes, purposes: Sequence[str]) -> Sequence[ColumnExpressionArgument[bool]]:
    found = OneTimeToken.id.in_(_find(token_hash))
    return (found, OneTimeToken.purpose.in_(purposes), *_holds)


def _find(token_hash: bytes) -> CompoundSelect[int]:
    """Select the id of the row that the token belongs to. As a union both indexes are used."""
    newest = select(OneTimeToken.id).where(OneTimeToken.token_hash == token_hash)
    earlier = select(EarlierOneTimeToken.newest_id).where(
        EarlierOneTimeToken.token_hash == token_hash, EarlierOneTimeToken.expires_at > func.now()
    )
    return union_all(newest, earlier)
