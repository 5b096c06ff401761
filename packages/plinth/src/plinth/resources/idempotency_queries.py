"""Requests that were sent with an `Idempotency-Key`."""

from datetime import timedelta

from sqlalchemy import delete, func, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.resources.idempotency_key import IdempotencyKey

KEPT = timedelta(hours=24)

_old = IdempotencyKey.created_at < func.now() - KEPT


async def claim(db: AsyncSession, user_id: int, key: str, *, fingerprint: bytes) -> bool:
    """True for the one who is to do the work; False where it was done already.

    Of many at once one is let through, and the others wait here until it has committed.

    Raises:
        LockNotAvailableError: it takes longer than `DB_LOCK_TIMEOUT`; wrapped by SQLAlchemy.
    """
    fresh = {"fingerprint": fingerprint, "answer": None, "created_at": func.now()}
    claimed = insert(IdempotencyKey).values(user_id=user_id, key=key, **fresh)
    return (
        await db.scalar(
            claimed.on_conflict_do_update(
                index_elements=[IdempotencyKey.user_id, IdempotencyKey.key], set_=fresh, where=_old
            ).returning(IdempotencyKey.key)
        )
        is not None
    )


async def get(db: AsyncSession, user_id: int, key: str) -> IdempotencyKey | None:
    return await db.get(IdempotencyKey, (user_id, key))


async def keep_answer(db: AsyncSession, user_id: int, key: str, answer: bytes) -> None:
    await db.execute(
        update(IdempotencyKey)
        .where(IdempotencyKey.user_id == user_id, IdempotencyKey.key == key)
        .values(answer=answer)
        .execution_options(synchronize_session=False)
    )


async def purge(db: AsyncSession) -> None:
    await db.execute(delete(IdempotencyKey).where(_old))
