"""One-time tokens. For each purpose, a user has one newest token and a few earlier ones that were
sent to the same address. Using one of them deletes them all.
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

MAX_PENDING = 5  # for one user and purpose; a further one deletes the oldest


@dataclass(frozen=True, slots=True)
class UsedToken:
    purpose: str
    email: str
    session_id: UUID | None


# Not named like the columns: in an INSERT, those names are the bound values.
_user: BindParameter[int] = bindparam("of_user")
_purpose: BindParameter[str] = bindparam("of_purpose")
_email: BindParameter[str] = bindparam("to_email")
_is_newest = (OneTimeToken.user_id == _user, OneTimeToken.purpose == _purpose)
_earlier = aliased(EarlierOneTimeToken)
_insert_earlier = (
    insert(EarlierOneTimeToken)
    .from_select(
        ["newest_id", "token_hash", "expires_at"],
        select(OneTimeToken.id, OneTimeToken.token_hash, OneTimeToken.expires_at).where(
            *_is_newest, OneTimeToken.email == _email, OneTimeToken.expires_at > func.now()
        ),
    )
    .cte("kept")
)
_delete_earlier = (
    delete(EarlierOneTimeToken)
    .where(EarlierOneTimeToken.newest_id == OneTimeToken.id, *_is_newest)
    .where(
        or_(
            OneTimeToken.email != _email,
            EarlierOneTimeToken.id.not_in(
                select(_earlier.id)
                .where(_earlier.newest_id == OneTimeToken.id)
                .order_by(_earlier.id.desc())
                .limit(MAX_PENDING - 2)  # the previous newest and the new one are the other two
                .correlate(OneTimeToken)
            ),
        )
    )
    .cte("dropped")
)
_insert_newest = insert(cast("Table", OneTimeToken.__table__)).values(
    created_at=func.now(), expires_at=func.now() + bindparam("lifetime", type_=Interval)
)
_store = (
    _insert_newest.on_conflict_do_update(
        index_elements=[OneTimeToken.user_id, OneTimeToken.purpose],
        set_={
            name: _insert_newest.excluded[name]
            for name in ("token_hash", "email", "session_id", "created_at", "expires_at")
        },
    )
    .returning(OneTimeToken.expires_at)
    .add_cte(_insert_earlier, _delete_earlier)
)
_is_valid = (OneTimeToken.expires_at > func.now(), User.id == OneTimeToken.user_id, User.is_active)


async def store(
    db: AsyncSession,
    *,
    user_id: int,
    purpose: str,
    token_hash: bytes,
    email: str,
    session_id: UUID | None,
    lifetime: timedelta,
) -> datetime:
    """Store a token and return its expiry time.

    Up to `MAX_PENDING` tokens for one purpose and address are valid at once. A token for another
    address deletes the earlier ones. The user's row must be locked or new: otherwise one of two
    concurrent tokens is lost.
    """
    values = {
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
    expires_at: datetime = (await db.execute(_store, values)).scalar_one()
    return expires_at


async def find_owner(db: AsyncSession, token_hash: bytes, purposes: Sequence[str]) -> int | None:
    """Return the id of the owner of a valid token. Only `use` guarantees that it is still valid."""
    return await db.scalar(select(OneTimeToken.user_id).where(*_usable(token_hash, purposes)))


async def use(db: AsyncSession, token_hash: bytes, purposes: Sequence[str]) -> UsedToken | None:
    """Delete a valid token with its siblings. Of concurrent calls, one gets the token."""
    result = await db.execute(
        delete(OneTimeToken)
        .where(*_usable(token_hash, purposes))
        .returning(OneTimeToken.purpose, OneTimeToken.email, OneTimeToken.session_id)
        .execution_options(synchronize_session=False)
    )
    row = result.one_or_none()
    return UsedToken(*row) if row else None


async def get_pending(db: AsyncSession, user_id: int, purpose: str) -> OneTimeToken | None:
    """Return the user's newest valid token for a purpose."""
    pending = select(OneTimeToken).where(
        OneTimeToken.user_id == user_id, OneTimeToken.purpose == purpose, *_is_valid
    )
    return await db.scalar(pending)


async def get_addresses(db: AsyncSession, user_id: int) -> Sequence[str]:
    """Return the addresses that tokens of the user were mailed to, expired ones included."""
    addresses = select(OneTimeToken.email).where(OneTimeToken.user_id == user_id)
    return (await db.scalars(addresses)).all()


async def void(db: AsyncSession, user_id: int, purpose: str | None = None) -> None:
    """Delete the user's tokens for a purpose, or for all purposes."""
    statement = delete(OneTimeToken).where(OneTimeToken.user_id == user_id)
    if purpose:
        statement = statement.where(OneTimeToken.purpose == purpose)
    await db.execute(statement.execution_options(synchronize_session=False))


def _usable(token_hash: bytes, purposes: Sequence[str]) -> Sequence[ColumnExpressionArgument[bool]]:
    has_token = OneTimeToken.id.in_(_select_newest_id(token_hash))
    return (has_token, OneTimeToken.purpose.in_(purposes), *_is_valid)


def _select_newest_id(token_hash: bytes) -> CompoundSelect[int]:
    """Select the id of the newest token that this token is or belongs to.

    A union, so that PostgreSQL uses both indexes.
    """
    newest = select(OneTimeToken.id).where(OneTimeToken.token_hash == token_hash)
    earlier = select(EarlierOneTimeToken.newest_id).where(
        EarlierOneTimeToken.token_hash == token_hash, EarlierOneTimeToken.expires_at > func.now()
    )
    return union_all(newest, earlier)
