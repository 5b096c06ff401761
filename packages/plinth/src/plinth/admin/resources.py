"""A view for each table that has none of its own, such as those that `plinth new` makes."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Column, DateTime, LargeBinary, String, inspect
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request

from plinth.accounts.models import Event, Mail, OneTimeToken, Session, SessionCleanup, User
from plinth.accounts.services import audit
from plinth.admin.table import Table
from plinth.admin.transactions import acting, saving
from plinth.db.models import Base
from plinth.resources.idempotency import IdempotencyKey

HAVE_THEIR_OWN = (Event, Mail, Session, User)
NEVER_SHOWN = (IdempotencyKey, OneTimeToken, SessionCleanup)  # machinery, and secret
# Where the model does not decide: `mapped_column(info={"secret": True})`, or False.
SECRET = re.compile(r"hash|passw|secret|token|seal|salt|credential|(^|_)key$")
EVENT = 50  # characters of an event's name


def find_plain_models() -> list[type[Any]]:
    known = {*HAVE_THEIR_OWN, *NEVER_SHOWN}
    models = (mapper.class_ for mapper in Base.registry.mappers)
    return sorted((it for it in models if it not in known), key=lambda model: model.__name__)


def is_secret(column: Column[Any]) -> bool:
    guess = isinstance(column.type, LargeBinary) or SECRET.search(column.name)
    return bool(column.info.get("secret", guess))


class Resource(Table):
    """Superusers read and change its rows; which columns, by whom, is in the audit log."""

    icon = "fa-solid fa-table"
    row_actions = ("edit", "delete")
    actions = ("delete",)

    def __init__(self, model: type[Any]) -> None:
        columns = {attribute.key: attribute.columns[0] for attribute in inspect(model).column_attrs}
        shown = {key: column for key, column in columns.items() if not is_secret(column)}
        self.columns = list(shown)
        self.searched = [key for key in shown if isinstance(shown[key].type, String)]
        self.fields_default_sort = [(key, True) for key in shown if shown[key].primary_key]
        # What the database makes itself: keys, times, defaults. The latter may be changed later.
        self.exclude_fields_from_create = [key for key in shown if shown[key].server_default]
        self.exclude_fields_from_edit = [key for key in shown if _is_fixed(shown[key])]
        super().__init__(model)

    def can_create(self, request: Request) -> bool:
        return True

    def can_edit(self, request: Request) -> bool:
        return True

    def can_delete(self, request: Request) -> bool:
        return True

    async def create(self, request: Request, data: dict[str, Any]) -> Any:
        async with self._writing(request) as db:
            row = await super().create(request, data)
            await self._record(request, db, "created", row, sorted(data))
        return row

    async def edit(self, request: Request, pk: Any, data: dict[str, Any]) -> Any:
        async with self._writing(request) as db:
            before = await self.find_by_pk(request, pk)
            old = {name: getattr(before, name) for name in data}
            row = await super().edit(request, pk, data)
            changed = sorted(name for name in data if getattr(row, name) != old[name])
            await self._record(request, db, "changed", row, changed)
        return row

    async def delete(self, request: Request, pks: list[Any]) -> int | None:
        async with acting(request) as db, _reading_by(request, db):
            for row in await self.find_by_pks(request, pks):
                await self._record(request, db, "deleted", row, [])
            return await super().delete(request, pks)

    @asynccontextmanager
    async def _writing(self, request: Request) -> AsyncIterator[AsyncSession]:
        names = (field.name for field in self.get_fields_list(request) if not field.read_only)
        async with (
            saving(request, blame=next(names, "")) as db,
            _reading_by(request, db),
        ):
            yield db

    async def _record(
        self, request: Request, db: AsyncSession, what: str, row: Any, names: list[str]
    ) -> None:
        table = inspect(self.model).local_table.name
        key = await self.get_pk_value(request, row)
        told = f"{key}: {', '.join(names)}" if names else str(key)
        audit.record(db, f"{table}.{what}"[:EVENT], subject_id=None, reason=told)


def _is_fixed(column: Column[Any]) -> bool:
    return column.primary_key or bool(column.server_default and isinstance(column.type, DateTime))


@asynccontextmanager
async def _reading_by(request: Request, db: AsyncSession) -> AsyncIterator[None]:
    """Have starlette-admin work in this session, which may write."""
    before, request.state.session = request.state.session, db
    try:
        yield
    finally:
        request.state.session = before
