"""A generic view for tables without their own, such as those that `plinth new` creates."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Column, DateTime, LargeBinary, String, inspect
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request

from plinth.accounts.models import (
    ApiKey,
    Challenge,
    EarlierOneTimeToken,
    Event,
    Factor,
    Identity,
    Mail,
    OneTimeToken,
    Passkey,
    RecoveryCode,
    Session,
    SessionCleanup,
    TotpSecret,
    User,
)
from plinth.accounts.services import audit
from plinth.admin.table import Table, action_transaction, form_transaction
from plinth.db.models import Base
from plinth.organizations.models import (
    Invitation,
    Membership,
    Organization,
    ReleasedSlug,
    ServiceAccount,
)
from plinth.resources.idempotency import IdempotencyKey

MODELS_WITH_VIEWS = (ApiKey, Event, Invitation, Mail, Membership, Organization, Session, User)
HIDDEN_MODELS = (  # internal, or secret
    Challenge,
    EarlierOneTimeToken,
    Factor,
    IdempotencyKey,
    Identity,
    OneTimeToken,
    Passkey,
    RecoveryCode,
    ReleasedSlug,
    ServiceAccount,
    SessionCleanup,
    TotpSecret,
)
# Used if the column does not set `info={"secret": ...}`.
SECRET_NAME = re.compile(r"hash|passw|secret|token|seal|salt|credential|(^|_)key$")
MAX_EVENT_LENGTH = 50


def find_plain_models() -> list[type[Any]]:
    """Return the models that the generic view shows, by name."""
    excluded = {*MODELS_WITH_VIEWS, *HIDDEN_MODELS}
    models = (mapper.class_ for mapper in Base.registry.mappers)
    return sorted((it for it in models if it not in excluded), key=lambda model: model.__name__)


def is_secret(column: Column[Any]) -> bool:
    guess = isinstance(column.type, LargeBinary) or SECRET_NAME.search(column.name)
    return bool(column.info.get("secret", guess))


class Resource(Table):
    """A table whose rows superusers may change. The audit log records the changed columns."""

    icon = "fa-solid fa-table"
    row_actions = ("edit", "delete")
    actions = ("delete",)

    def __init__(self, model: type[Any]) -> None:
        columns = {attribute.key: attribute.columns[0] for attribute in inspect(model).column_attrs}
        shown = {key: column for key, column in columns.items() if not is_secret(column)}
        self.columns = list(shown)
        self.searched = [key for key in shown if isinstance(shown[key].type, String)]
        self.fields_default_sort = [(key, True) for key in shown if shown[key].primary_key]
        # Columns that the database sets. Those with a default may be edited later.
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
        async with self._form_transaction(request) as db:
            row = await super().create(request, data)
            await self._record(request, db, "created", row, sorted(data))
        return row

    async def edit(self, request: Request, pk: Any, data: dict[str, Any]) -> Any:
        async with self._form_transaction(request) as db:
            unchanged = await self.find_by_pk(request, pk)
            old = {name: getattr(unchanged, name) for name in data}
            row = await super().edit(request, pk, data)
            changed = sorted(name for name in data if getattr(row, name) != old[name])
            await self._record(request, db, "changed", row, changed)
        return row

    async def delete(self, request: Request, pks: list[Any]) -> int | None:
        async with action_transaction(request) as db, _use_session(request, db):
            for row in await self.find_by_pks(request, pks):
                await self._record(request, db, "deleted", row, [])
            return await super().delete(request, pks)

    @asynccontextmanager
    async def _form_transaction(self, request: Request) -> AsyncIterator[AsyncSession]:
        names = (field.name for field in self.get_fields_list(request) if not field.read_only)
        async with (
            form_transaction(request, default_field=next(names, "")) as db,
            _use_session(request, db),
        ):
            yield db

    async def _record(
        self, request: Request, db: AsyncSession, action: str, row: Any, names: list[str]
    ) -> None:
        table = inspect(self.model).local_table.name
        key = await self.get_pk_value(request, row)
        reason = f"{key}: {', '.join(names)}" if names else str(key)
        audit.record(db, f"{table}.{action}"[:MAX_EVENT_LENGTH], subject_id=None, reason=reason)


def _is_fixed(column: Column[Any]) -> bool:
    return column.primary_key or bool(column.server_default and isinstance(column.type, DateTime))


@asynccontextmanager
async def _use_session(request: Request, db: AsyncSession) -> AsyncIterator[None]:
    """Let starlette-admin use this writable session within the block."""
    read_only, request.state.session = request.state.session, db
    try:
        yield
    finally:
        request.state.session = read_only
