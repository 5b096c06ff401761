"""The keys of a user. Each change is one conditional UPDATE, to avoid races."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts.models import ApiKey, User
from plinth.accounts.queries.api_key.principal import today

_is_live = and_(ApiKey.revoked_at.is_(None), ApiKey.expires_at > func.now())


class Owned(NamedTuple):
    """A key with the address of its user."""

    key: ApiKey
    email: str


async def add(db: AsyncSession, values: Mapping[str, Any], *, days: int) -> ApiKey:
    """Insert a key that expires after so many days, by the clock of the database."""
    row = {**values, "expires_at": func.now() + timedelta(days=days)}
    return (await db.scalars(insert(ApiKey).values(row).returning(ApiKey))).one()


async def count_live(db: AsyncSession, user_id: int) -> int:
    count = select(func.count()).select_from(ApiKey).where(ApiKey.user_id == user_id, _is_live)
    return await db.scalar(count) or 0


async def get_all(db: AsyncSession, user_id: int, *, skip: int, limit: int) -> Sequence[ApiKey]:
    """Return the keys of a user that were not revoked, newest first; also expired ones."""
    keys = (
        select(ApiKey)
        .where(ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None))
        .order_by(ApiKey.created_at.desc(), ApiKey.id)
        .offset(skip)
        .limit(limit)
    )
    return (await db.scalars(keys)).all()


async def list_owned(
    db: AsyncSession, user_id: int | None = None, *, limit: int
) -> Sequence[Owned]:
    """Return the keys that work, newest first, of one user or of all."""
    keys = select(ApiKey, User.email).join(User, User.id == ApiKey.user_id).where(_is_live)
    if user_id is not None:
        keys = keys.where(ApiKey.user_id == user_id)
    found = await db.execute(keys.order_by(ApiKey.created_at.desc(), ApiKey.id).limit(limit))
    return [Owned(*row) for row in found]


async def find(db: AsyncSession, key_id: UUID) -> ApiKey | None:
    return await db.get(ApiKey, key_id)


async def change(
    db: AsyncSession, user_id: int, key_id: UUID, values: Mapping[str, Any]
) -> ApiKey | None:
    """Change a key of a user; None if there is no such key that works."""
    same = (ApiKey.id == key_id, ApiKey.user_id == user_id, _is_live)
    changed = update(ApiKey).where(*same).values(**values).returning(ApiKey)
    return (await db.scalars(changed if values else select(ApiKey).where(*same))).one_or_none()


async def revoke(db: AsyncSession, *conditions: ColumnElement[bool], reason: str) -> ApiKey | None:
    """Revoke the key that meets the conditions; None if no such key exists that works."""
    revoked = (
        update(ApiKey)
        .where(*conditions, ApiKey.revoked_at.is_(None))
        .values(revoked_at=func.now(), revoked_reason=reason)
        .returning(ApiKey)
    )
    return (await db.scalars(revoked)).one_or_none()


async def revoke_all(db: AsyncSession, user_id: int, reason: str) -> dict[UUID, str]:
    """Revoke all keys of a user and return their ids and names."""
    revoked = (
        update(ApiKey)
        .where(ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=func.now(), revoked_reason=reason)
        .returning(ApiKey.id, ApiKey.name)
        .execution_options(synchronize_session=False)
    )
    return {row.id: row.name for row in await db.execute(revoked)}


async def record_use(db: AsyncSession, key_ids: Collection[UUID]) -> None:
    """Set the date of the last use, if it is an earlier day."""
    await db.execute(
        update(ApiKey)
        .where(ApiKey.id.in_(key_ids))
        .where(or_(ApiKey.last_used_on.is_(None), ApiKey.last_used_on < today()))
        .values(last_used_on=today())
        .execution_options(synchronize_session=False)
    )
