from collections.abc import AsyncIterator, Sequence

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Event


async def add(db: AsyncSession, **columns: object) -> None:
    await db.execute(insert(Event).values(**columns).execution_options(synchronize_session=False))


async def get_of(db: AsyncSession, subject_id: int, *, skip: int, limit: int) -> Sequence[Event]:
    """What happened to a user's account, newest first."""
    found = (
        select(Event)
        .where(Event.subject_id == subject_id)
        .order_by(Event.id.desc())
        .offset(skip)
        .limit(limit)
    )
    return (await db.scalars(found)).all()


async def stream(db: AsyncSession, *, batch: int = 1000) -> AsyncIterator[Event]:
    """Every event in order, without holding them all."""
    last = 0
    while rows := (
        await db.scalars(select(Event).where(Event.id > last).order_by(Event.id).limit(batch))
    ).all():
        for row in rows:
            yield row
        last = rows[-1].id
        db.expunge_all()


async def find_newest(db: AsyncSession) -> int:
    """The newest one's number; 0 where there is none."""
    return await db.scalar(select(func.max(Event.id))) or 0
