"""What a resource of one's own needs beyond a table's queries: who sees which rows, which version a
change is meant for, pages. `plinth new` writes one for each."""

import re
from collections.abc import Collection, Sequence
from typing import Any, Protocol, TypeVar

from asyncpg import ForeignKeyViolationError
from pydantic import BaseModel
from sqlalchemy import ColumnElement, exists, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from plinth.db.models import NumberedBase, Owned
from plinth.db.reading import Readable, read_by_id
from plinth.errors import Changed, Conflict, Denied, NotFound
from plinth.resources.base import CRUDBase
from plinth.resources.listing import Listing, Rows, Wanted

ModelT = TypeVar("ModelT", bound=NumberedBase)
CreateT = TypeVar("CreateT", bound=BaseModel)
UpdateT = TypeVar("UpdateT", bound=BaseModel)


class Caller(Protocol):
    """The user who sends a request, as far as a resource needs to know them."""

    @property
    def id(self) -> int: ...

    @property
    def is_superuser(self) -> bool: ...


NOBODY = 0  # no user's id
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def snake_case(class_name: str) -> str:
    """`WorkItem` gives `work_item`. Digits stay with the word before: `Item2` gives `item2`."""
    return _WORD_START.sub("_", class_name).lower()


class InUse(Conflict):
    code = "in_use"
    detail = "Something else still refers to this"


class CRUDResource(CRUDBase[ModelT, CreateT, UpdateT]):
    """The queries of a resource. Of a table that is `Owned`, each sees and changes their own rows,
    and superusers all: what is not yours is not there.

    Args:
        listing: how it is listed.
        open_to_read: everyone sees every row; changing one is as before.
        deny_others: to change another's row is denied (403). Otherwise the row is not there (404).

    Raises:
        ValueError: `deny_others` without `open_to_read`: the 403 would tell that a row is there.
    """

    def __init__(
        self,
        model: type[ModelT],
        listing: Listing[ModelT],
        *,
        open_to_read: bool = False,
        deny_others: bool = False,
    ) -> None:
        if deny_others and not open_to_read:
            raise ValueError(
                f"{model.__name__}: deny_others=True tells others that a row is there; add"
                " open_to_read=True, or leave it out"
            )
        super().__init__(model)
        self._denies_others = deny_others
        self.listing = listing
        self._is_owned = issubclass(model, Owned)
        self._is_open_to_read = open_to_read

    async def find(self, db: Readable, id: int, *, viewer: Caller | None) -> ModelT:  # noqa: A002
        """A row to look at; `edit` is for a change.

        Raises:
            NotFound: it is not there, or not there for `viewer`.
        """
        row = self._require(await read_by_id(db, self.model, id))
        only = self._readable_of(viewer)
        return self._require(row if only is None or row.owner_id == only else None)  # type: ignore[attr-defined]

    async def page(self, db: Readable, wanted: Wanted, *, viewer: Caller | None) -> Rows[ModelT]:
        """
        Raises:
            InvalidField: the cursor does not fit.
        """
        return await self.listing.fetch(db, wanted, owner_id=self._readable_of(viewer))

    async def make(self, db: AsyncSession, obj_in: CreateT, *, by: Caller) -> ModelT:
        """
        Raises:
            PlinthError: at the end of the transaction, or sooner: what the violated constraint
                means. So with the verbs below.
        """
        return await self.add(db, self._values(obj_in, by))

    async def make_many(
        self, db: AsyncSession, objects_in: Sequence[CreateT], *, by: Caller
    ) -> Sequence[ModelT]:
        """All or none, by one statement, in the order given."""
        adding = insert(self.model).returning(self.model, sort_by_parameter_order=True)
        return (await db.scalars(adding, [self._values(it, by) for it in objects_in])).all()

    async def edit(
        self,
        db: AsyncSession,
        id: int,  # noqa: A002
        obj_in: UpdateT,
        *,
        by: Caller,
        versions: Collection[int] | None = None,
    ) -> ModelT:
        """Change what was sent; what was left out stays.

        Args:
            versions: those that the change is meant for; None for any.

        Raises:
            NotFound: it is not there, or not theirs.
            Denied: it is not theirs, with `deny_others`.
            Changed: it has another version by now.
        """
        row = await self._hold(db, id, by, versions)
        return await self.update(db, db_obj=row, obj_in=obj_in)

    async def discard(
        self,
        db: AsyncSession,
        id: int,  # noqa: A002
        *,
        by: Caller,
        versions: Collection[int] | None = None,
    ) -> None:
        """
        Raises:
            NotFound, Denied, Changed: as `edit`.
            InUse: something refers to it.
        """
        await db.delete(await self._hold(db, id, by, versions))
        try:
            await db.flush()
        except IntegrityError as error:
            if error.orig and isinstance(error.orig.__cause__, ForeignKeyViolationError):
                raise InUse from error
            raise

    async def _hold(
        self,
        db: AsyncSession,
        id: int,  # noqa: A002
        by: Caller,
        versions: Collection[int] | None,
    ) -> ModelT:
        """The row as it is now, which nobody else changes until the transaction ends."""
        held = (
            select(self.model)
            .where(self.model.id == id, *self._owned_by(by))
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        found = await db.scalar(held)
        if found is None and self._denies_others and await self._is_there(db, id):
            raise Denied(code=f"{snake_case(self.model.__name__)}_denied")
        row = self._require(found)
        if versions is not None and getattr(row, "version", None) not in versions:
            raise Changed
        return row

    async def _is_there(self, db: AsyncSession, id: int) -> bool:  # noqa: A002
        return bool(await db.scalar(select(exists().where(self.model.id == id))))

    def _require(self, row: ModelT | None) -> ModelT:
        if row is None:
            name = snake_case(self.model.__name__)
            spoken = name.replace("_", " ").capitalize()
            raise NotFound(f"{spoken} not found", code=f"{name}_not_found")
        return row

    def _values(self, obj_in: CreateT, by: Caller) -> dict[str, Any]:
        values = obj_in.model_dump()
        return values | {"owner_id": by.id} if self._is_owned else values

    def _readable_of(self, viewer: Caller | None) -> int | None:
        """The user whose rows alone are there for `viewer`; None for everyone's."""
        return None if self._is_open_to_read else self._owner(viewer)

    def _owned_by(self, user: Caller | None) -> list[ColumnElement[bool]]:
        only = self._owner(user)
        if only is None:
            return []
        owner: InstrumentedAttribute[int] = self.model.owner_id  # type: ignore[attr-defined]
        return [owner == only]

    def _owner(self, user: Caller | None) -> int | None:
        if not self._is_owned or (user and user.is_superuser):
            return None
        return user.id if user else NOBODY
