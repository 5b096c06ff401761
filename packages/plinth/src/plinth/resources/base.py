from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.db.models import NumberedBase

ModelT = TypeVar("ModelT", bound=NumberedBase)
CreateT = TypeVar("CreateT", bound=BaseModel)
UpdateT = TypeVar("UpdateT", bound=BaseModel)


class CRUDBase(Generic[ModelT, CreateT, UpdateT]):
    """The queries that every table needs. They flush and never commit: the request's transaction
    belongs to `db/database.py`.

    Args:
        model: a table with an integer key `id`.
    """

    def __init__(self, model: type[ModelT]) -> None:
        self.model = model

    async def get(self, db: AsyncSession, id: int, *, lock: bool = False) -> ModelT | None:  # noqa: A002
        """
        Args:
            lock: keep others from changing the row until the transaction ends, and read it anew.
        """
        return await db.get(self.model, id, with_for_update=lock or None, populate_existing=lock)

    async def get_multi(
        self, db: AsyncSession, *, skip: int = 0, limit: int = 100
    ) -> Sequence[ModelT]:
        """By key, so that pages follow each other."""
        page = select(self.model).order_by(self.model.id).offset(skip).limit(limit)
        return (await db.scalars(page)).all()

    async def get_count(self, db: AsyncSession) -> int:
        return await db.scalar(select(func.count()).select_from(self.model)) or 0

    async def create(self, db: AsyncSession, *, obj_in: CreateT) -> ModelT:
        """
        Raises:
            IntegrityError: a constraint; `Database.transaction` makes its meaning of it.
        """
        return await self.add(db, obj_in.model_dump())

    async def update(self, db: AsyncSession, *, db_obj: ModelT, obj_in: UpdateT) -> ModelT:
        """Change what was sent; what was left out stays."""
        return await self.change(db, db_obj, obj_in.model_dump(exclude_unset=True))

    async def remove(self, db: AsyncSession, *, id: int) -> ModelT | None:  # noqa: A002
        """The row that was there, or None."""
        row = await self.get(db, id, lock=True)  # else two who remove it at once both find it
        if row is not None:
            await db.delete(row)
            await db.flush()
        return row

    async def add(self, db: AsyncSession, values: dict[str, Any]) -> ModelT:
        row = self.model(**values)
        db.add(row)
        await db.flush()
        return row

    async def change(self, db: AsyncSession, row: ModelT, values: dict[str, Any]) -> ModelT:
        for name, value in values.items():
            setattr(row, name, value)
        await db.flush()
        return row
