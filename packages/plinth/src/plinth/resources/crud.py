"""The queries of a resource: ownership, expected versions, pages. `plinth new` writes one."""

import re
from collections.abc import Collection, Sequence
from typing import Any, Generic, Protocol, TypeVar

from asyncpg import ForeignKeyViolationError
from pydantic import BaseModel
from sqlalchemy import ColumnElement, exists, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from plinth.db.models import NumberedBase, Owned
from plinth.db.reading import Readable, read_by_id
from plinth.errors import Conflict, NotFound, PermissionDenied, VersionMismatch
from plinth.resources.base import CRUDBase
from plinth.resources.listing import Listing, ListParams, Rows

ModelT = TypeVar("ModelT", bound=NumberedBase)
CreateT = TypeVar("CreateT", bound=BaseModel)
UpdateT = TypeVar("UpdateT", bound=BaseModel)


class Caller(Protocol):
    """The user who sends a request, as a resource sees them."""

    @property
    def id(self) -> int: ...

    @property
    def is_superuser(self) -> bool: ...


NO_USER = 0  # no row has this owner
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def snake_case(class_name: str) -> str:
    """`WorkItem` gives `work_item`. Digits stay with the word before: `Item2` gives `item2`."""
    return _WORD_START.sub("_", class_name).lower()


class InUse(Conflict):
    code = "in_use"
    detail = "Another row still refers to this one"


class CRUDResource(Generic[ModelT, CreateT, UpdateT]):
    """The queries of a resource. They flush and never commit.

    In a table that is `Owned`, users see and change their own rows, and superusers all rows;
    another user's row is not found.

    Args:
        listing: the sort orders, filters and search of its list; by default, only the key.
        open_to_read: everyone may read every row; changes still need the owner.
        deny_others: everyone may read every row, and changing another user's row is 403 instead
            of 404.
    """

    def __init__(
        self,
        model: type[ModelT],
        listing: Listing[ModelT] | None = None,
        *,
        open_to_read: bool = False,
        deny_others: bool = False,
    ) -> None:
        self.model = model
        self.listing = listing or Listing(model, sort=("id",), default="id")
        self.rows: CRUDBase[ModelT, CreateT, UpdateT] = CRUDBase(model)
        self._denies_others = deny_others
        self._is_owned = issubclass(model, Owned)
        self._is_open_to_read = open_to_read or deny_others

    async def get(self, db: Readable, id: int, *, viewer: Caller | None) -> ModelT:  # noqa: A002
        """Return a row to show. `update` locks the row that it changes.

        Raises:
            NotFound: there is no such row, or `viewer` may not see it.
        """
        row = self._require(await read_by_id(db, self.model, id))
        only = self._readable_of(viewer)
        return self._require(row if only is None or row.owner_id == only else None)  # type: ignore[attr-defined]

    async def get_page(
        self, db: Readable, params: ListParams, *, viewer: Caller | None
    ) -> Rows[ModelT]:
        """Return the rows of one page that `viewer` may see.

        Raises:
            InvalidField: the cursor does not belong to this list.
        """
        return await self.listing.fetch(db, params, owner_id=self._readable_of(viewer))

    async def create(
        self, db: AsyncSession, obj_in: CreateT, *, by: Caller, **columns: Any
    ) -> ModelT:
        """Insert a row that belongs to `by`.

        Args:
            columns: values that the client does not send, such as `article_id=article.id`.

        Raises:
            PlinthError: the meaning of a violated constraint, now or when the transaction ends.
        """
        return await self.rows.add(db, self._values(obj_in, by) | columns)

    async def create_many(
        self, db: AsyncSession, objects_in: Sequence[CreateT], *, by: Caller
    ) -> Sequence[ModelT]:
        """Insert all rows or none, by one statement, and return them in the order given."""
        adding = insert(self.model).returning(self.model, sort_by_parameter_order=True)
        return (await db.scalars(adding, [self._values(it, by) for it in objects_in])).all()

    async def update(
        self,
        db: AsyncSession,
        id: int,  # noqa: A002
        obj_in: UpdateT,
        *,
        by: Caller,
        versions: Collection[int] | None = None,
    ) -> ModelT:
        """Change the fields that were sent.

        Args:
            versions: those that the client expects (`If-Match`); None for any.

        Raises:
            NotFound: there is no such row, or it belongs to another user.
            PermissionDenied: it belongs to another user, with `deny_others`.
            VersionMismatch: the row has another version.
        """
        row = await self._lock(db, id, by, versions)
        return await self.rows.update(db, db_obj=row, obj_in=obj_in)

    async def remove(
        self,
        db: AsyncSession,
        id: int,  # noqa: A002
        *,
        by: Caller,
        versions: Collection[int] | None = None,
    ) -> None:
        """Delete a row.

        Raises:
            NotFound, PermissionDenied, VersionMismatch: as `update`.
            InUse: another row refers to it.
        """
        await db.delete(await self._lock(db, id, by, versions))
        try:
            await db.flush()
        except IntegrityError as error:
            if error.orig and isinstance(error.orig.__cause__, ForeignKeyViolationError):
                raise InUse from error
            raise

    async def _lock(
        self,
        db: AsyncSession,
        id: int,  # noqa: A002
        by: Caller,
        versions: Collection[int] | None,
    ) -> ModelT:
        """Read the row anew and lock it until the transaction ends."""
        locked = (
            select(self.model)
            .where(self.model.id == id, *self._owned_by(by))
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        found = await db.scalar(locked)
        if found is None and self._denies_others and await self._exists(db, id):
            raise PermissionDenied(code=f"{snake_case(self.model.__name__)}_denied")
        row = self._require(found)
        if versions is not None and getattr(row, "version", None) not in versions:
            raise VersionMismatch
        return row

    async def _exists(self, db: AsyncSession, id: int) -> bool:  # noqa: A002
        return bool(await db.scalar(select(exists().where(self.model.id == id))))

    def _require(self, row: ModelT | None) -> ModelT:
        if row is None:
            raise NotFound.of(snake_case(self.model.__name__))
        return row

    def _values(self, obj_in: CreateT, by: Caller) -> dict[str, Any]:
        values = obj_in.model_dump()
        return values | {"owner_id": by.id} if self._is_owned else values

    def _readable_of(self, viewer: Caller | None) -> int | None:
        """Return the only user whose rows `viewer` may see; None for all users."""
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
        return user.id if user else NO_USER
