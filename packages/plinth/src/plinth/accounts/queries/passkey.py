"""Passkeys."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts.models import Factor, Passkey

PASSKEY = "passkey"


class Stored(NamedTuple):
    """The columns of `Passkey` that verify an assertion."""

    factor_id: UUID
    user_handle: bytes
    public_key: bytes
    sign_count: int
    is_user_verified: bool
    is_backup_eligible: bool


class Described(NamedTuple):
    """The columns of `Passkey` that a browser needs to find it."""

    credential_id: bytes
    user_handle: bytes
    transports: str


_stored = select(
    Passkey.factor_id,
    Passkey.user_handle,
    Passkey.public_key,
    Passkey.sign_count,
    Passkey.is_user_verified,
    Passkey.is_backup_eligible,
).join(Factor, Factor.id == Passkey.factor_id)


async def describe_all(db: AsyncSession, user_id: int) -> Sequence[Described]:
    passkeys = (
        select(Passkey.credential_id, Passkey.user_handle, Passkey.transports)
        .join(Factor, Factor.id == Passkey.factor_id)
        .where(Factor.user_id == user_id)
        .order_by(Factor.created_at, Factor.id)
    )
    return [Described(*row) for row in await db.execute(passkeys)]


async def find_owner(db: AsyncSession, credential_id: bytes) -> int | None:
    owner = select(Factor.user_id).join(Passkey, Passkey.factor_id == Factor.id)
    return await db.scalar(owner.where(Passkey.credential_id == credential_id))


async def get(db: AsyncSession, user_id: int, credential_id: bytes) -> Stored | None:
    """Return a passkey of this user."""
    found = _stored.where(Passkey.credential_id == credential_id, Factor.user_id == user_id)
    row = (await db.execute(found)).one_or_none()
    return Stored(*row) if row else None


async def add(db: AsyncSession, user_id: int, name: str, passkey: Passkey) -> UUID | None:
    """Add a passkey and return the id of its factor, which is not yet confirmed.

    Returns:
        None if some account has a passkey with this credential id.
    """
    factor = Factor(user_id=user_id, kind=PASSKEY, name=name)
    db.add(factor)
    await db.flush()
    values = {it.key: getattr(passkey, it.key) for it in Passkey.__table__.columns}
    added = insert(Passkey).values({**values, "factor_id": factor.id})
    ids = added.on_conflict_do_nothing(index_elements=[Passkey.credential_id])
    if await db.scalar(ids.returning(Passkey.factor_id)) is None:
        await db.execute(delete(Factor).where(Factor.id == factor.id))
        return None
    return factor.id


async def record_use(
    db: AsyncSession,
    factor_id: UUID,
    *,
    sign_count: int,
    is_user_verified: bool,
    is_backed_up: bool,
) -> None:
    """Record a use. The stored counter never decreases."""
    await db.execute(
        update(Passkey)
        .where(Passkey.factor_id == factor_id)
        .values(
            sign_count=func.greatest(Passkey.sign_count, sign_count),
            is_user_verified=is_user_verified,
            is_backed_up=is_backed_up,
        )
        .execution_options(synchronize_session=False)
    )
    await db.execute(
        update(Factor)
        .where(Factor.id == factor_id)
        .values(last_used_at=func.now())
        .execution_options(synchronize_session=False)
    )
