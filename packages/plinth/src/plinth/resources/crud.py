"""The queries of a table, and of a resource with owners, versions and pages."""

import re
from collections.abc import Collection, Sequence
from typing import Any, Generic, Protocol, TypeVar

from asyncpg import ForeignKeyViolationError
from pydantic import BaseModel
from sqlalchemy import ColumnElement, exists, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.db.models import NumberedBase, OrganizationOwned, owner_column
from plinth.db.reading import Readable, read_by_id
from plinth.errors import Conflict, NotFound, PermissionDenied, VersionMismatch
from plinth.resources.listing import Listing
from plinth.resources.pages import ListParams, Rows

ModelT = TypeVar("ModelT", bound=NumberedBase)
CreateT = TypeVar("CreateT", bound=BaseModel)
UpdateT = TypeVar("UpdateT", bound=BaseModel)


class CRUDBase(Generic[ModelT, CreateT, UpdateT]):
    """The queries that every table needs. They flush and never commit; the request commits.

    Args:
        model: a table with an integer key `id`.
    """

    def __init__(self, model: type[ModelT]) -> None:
        self.model = model

    async def get(self, db: AsyncSession, id: int, *, lock: bool = False) -> ModelT | None:  # noqa: A002
        """
        Args:
            lock: lock the row until the transaction ends, and reload it.
        """
        return await db.get(self.model, id, with_for_update=lock or None, populate_existing=lock)

    async def get_multi(
        self, db: AsyncSession, *, skip: int = 0, limit: int = 100
    ) -> Sequence[ModelT]:
        """Return rows ordered by key, so that consecutive pages do not overlap."""
        page = select(self.model).order_by(self.model.id).offset(skip).limit(limit)
        return (await db.scalars(page)).all()

    async def get_count(self, db: AsyncSession) -> int:
        return await db.scalar(select(func.count()).select_from(self.model)) or 0

    async def create(self, db: AsyncSession, *, obj_in: CreateT) -> ModelT:
        """
        Raises:
            IntegrityError: a constraint is violated; `Database.transaction` translates it.
        """
        return await self.add(db, obj_in.model_dump())

    async def update(self, db: AsyncSession, *, db_obj: ModelT, obj_in: UpdateT) -> ModelT:
        """Change only the fields that the client sent."""
        return await self.change(db, db_obj, obj_in.model_dump(exclude_unset=True))

    async def remove(self, db: AsyncSession, *, id: int) -> ModelT | None:  # noqa: A002
        """Delete a row and return it; None if it does not exist."""
        row = await self.get(db, id, lock=True)  # of two concurrent calls, only one gets the row
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


class Caller(Protocol):
    """The user who sends a request; for a table of organizations, a member."""

    @property
    def id(self) -> int: ...

    @property
    def is_superuser(self) -> bool: ...


NO_USER = 0  # no row has this owner
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def snake_case(class_name: str) -> str:
    """Convert `WorkItem` to `work_item`, and `Item2` to `item2`."""
    return _WORD_START.sub("_", class_name).lower()


class InUse(Conflict):
    code = "in_use"
    detail = "Another row still refers to this one"


class CRUDResource(Generic[ModelT, CreateT, UpdateT]):
    """The queries of a resource. They flush and never commit.

    If the table is `Owned`, users see and change their own rows, and superusers all rows. If it is
    `OrganizationOwned`, members see and change the rows of the organization in the request's path.

    Args:
        listing: the sort orders, filters and search of its list; by default, only the key.
        open_to_read: everyone may read every row; changes still need the owner.
        deny_writes: everyone may read every row, and changing another user's row is 403 instead
            of 404.

    Raises:
        ValueError: `deny_writes` for a table that is not `Owned`: everyone could change its rows;
            or either option for a table of organizations.
    """

    def __init__(
        self,
        model: type[ModelT],
        listing: Listing[ModelT] | None = None,
        *,
        open_to_read: bool = False,
        deny_writes: bool = False,
    ) -> None:
        self.model = model
        self.listing = listing or Listing(model, sort=("id",), default="id")
        self.rows: CRUDBase[ModelT, CreateT, UpdateT] = CRUDBase(model)
        self._denies_writes = deny_writes
        self._owner_column = owner_column(model)
        self._is_of_organization = issubclass(model, OrganizationOwned)
        if self._is_of_organization and (open_to_read or deny_writes):
            raise ValueError(f"{model.__name__}: only members may read rows of an organization")
        if deny_writes and self._owner_column is None:
            raise ValueError(
                f"{model.__name__}: deny_writes=True needs an owner for each row: add Owned to the"
                " bases of the model"
            )
        self._is_open_to_read = open_to_read or deny_writes

    async def get(self, db: Readable, id: int, *, viewer: Caller | None) -> ModelT:  # noqa: A002
        """Return a row without a lock.

        Raises:
            NotFound: there is no such row, or `viewer` may not see it.
        """
        row = self._require(await read_by_id(db, self.model, id))
        owner_id = self._readable_owner(viewer)
        if owner_id is None or self._owner_column is None:
            return self._require(row)
        is_theirs = row is not None and getattr(row, self._owner_column.key) == owner_id
        return self._require(row if is_theirs else None)

    async def get_page(
        self, db: Readable, params: ListParams, *, viewer: Caller | None
    ) -> Rows[ModelT]:
        """Return the rows of one page that `viewer` may see.

        Raises:
            InvalidField: the cursor does not belong to this list.
        """
        return await self.listing.fetch(db, params, owner_id=self._readable_owner(viewer))

    async def create(
        self, db: AsyncSession, obj_in: CreateT, *, by: Caller, **columns: Any
    ) -> ModelT:
        """Insert a row owned by `by`, or by the organization in which `by` is a member.

        Args:
            columns: values that the client does not send, such as `article_id=article.id`.

        Raises:
            PlinthError: a constraint is violated, now or when the transaction ends.
        """
        return await self.rows.add(db, self._values(obj_in, by, **columns))

    async def create_many(
        self, db: AsyncSession, objects_in: Sequence[CreateT], *, by: Caller
    ) -> Sequence[ModelT]:
        """Insert all rows or none with one statement, and return them in the same order."""
        statement = insert(self.model).returning(self.model, sort_by_parameter_order=True)
        return (await db.scalars(statement, [self._values(it, by) for it in objects_in])).all()

    async def update(
        self,
        db: AsyncSession,
        id: int,  # noqa: A002
        obj_in: UpdateT,
        *,
        by: Caller,
        versions: Collection[int] | None = None,
    ) -> ModelT:
        """Change the fields that the client sent.

        Args:
            versions: the versions that the client expects (`If-Match`); None for any.

        Raises:
            NotFound: there is no such row, or it belongs to another user.
            PermissionDenied: it belongs to another user, with `deny_writes`.
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
            NotFound, PermissionDenied, VersionMismatch: as in `update`.
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
        """Reload the row and lock it until the transaction ends."""
        statement = (
            select(self.model)
            .where(self.model.id == id, *self._owned_by(by))
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        locked = await db.scalar(statement)
        if locked is None and self._denies_writes and await self._exists(db, id):
            raise PermissionDenied(code=f"{snake_case(self.model.__name__)}_denied")
        row = self._require(locked)
        if versions is not None and getattr(row, "version", None) not in versions:
            raise VersionMismatch
        return row

    async def _exists(self, db: AsyncSession, id: int) -> bool:  # noqa: A002
        return bool(await db.scalar(select(exists().where(self.model.id == id))))

    def _require(self, row: ModelT | None) -> ModelT:
        if row is None:
            raise NotFound.of(snake_case(self.model.__name__))
        return row

    def _values(self, obj_in: CreateT, by: Caller, **columns: Any) -> dict[str, Any]:
        values = obj_in.model_dump() | columns
        if self._owner_column is None:
            return values
        owner_id = by.organization_id if self._is_of_organization else by.id  # type: ignore[attr-defined]
        return values | {self._owner_column.key: owner_id}

    def _readable_owner(self, viewer: Caller | None) -> int | None:
        """Return the only owner whose rows `viewer` may see; None for all owners."""
        return None if self._is_open_to_read else self._owner(viewer)

    def _owned_by(self, user: Caller | None) -> list[ColumnElement[bool]]:
        owner_id = self._owner(user)
        if owner_id is None or self._owner_column is None:
            return []
        return [self._owner_column == owner_id]

    def _owner(self, user: Caller | None) -> int | None:
        if self._owner_column is None:
            return None
        if user is None:
            return NO_USER
        if self._is_of_organization:
            organization_id: int = user.organization_id  # type: ignore[attr-defined]
            return organization_id
        return None if user.is_superuser else user.id
