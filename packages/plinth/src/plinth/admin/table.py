"""The base class of the table views, read-only by default, and the transactions of changes."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast
from unicodedata import normalize

import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response
from starlette_admin.actions import ActionSelection
from starlette_admin.contrib.sqla import ModelView
from starlette_admin.contrib.sqla.converters import ModelConverter
from starlette_admin.converters import converts
from starlette_admin.exceptions import ActionFailed, FormValidationError
from starlette_admin.fields import BaseField, DateTimeField, FloatField, StringField
from starlette_admin.types import RequestAction, RowActionsDisplayType

from plinth.db.database import release
from plinth.errors import InvalidField, PlinthError

MAX_SEARCH_LENGTH = 100


class _Converter(ModelConverter):
    @converts("Float")  # since SQLAlchemy 2.1, Float is not a subclass of Numeric
    def conv_float(self, *args: Any, **kwargs: Any) -> BaseField:
        return FloatField(**self._field_common(*args, **kwargs))

    @converts("CIDR")
    def conv_network(self, *args: Any, **kwargs: Any) -> BaseField:
        return StringField(**self._field_common(*args, **kwargs))


class Table(ModelView):
    """
    Attributes:
        columns: the columns to show, filter and sort by. No others are read.
        searched: the columns to search.
    """

    columns: Sequence[str] = ()
    searched: Sequence[str] = ()
    page_size = 25
    page_size_options = (25, 50, 100)
    row_actions_display_type = RowActionsDisplayType.DROPDOWN
    actions: Sequence[str] | None = ()
    row_actions: Sequence[str] | None = ()
    exporters = ()
    importers = ()
    fields_default_sort: Sequence[tuple[str, bool] | str] | None = (("id", True),)

    def __init__(self, model: type[Any]) -> None:
        self.fields = cast("list[BaseField]", list(self.columns))  # names are accepted as well
        super().__init__(model, converter=_Converter())
        for field in self.fields:
            field.label = (field.label or field.name).removeprefix("Is ").capitalize()
            if isinstance(field, DateTimeField):
                field.formatter = {
                    RequestAction.LIST: _format_time,
                    RequestAction.DETAIL: _format_time,
                }

    def can_create(self, request: Request) -> bool:
        return False

    def can_edit(self, request: Request) -> bool:
        return False

    def can_delete(self, request: Request) -> bool:
        return False

    def can_export(self, request: Request) -> bool:
        return False

    def can_import(self, request: Request) -> bool:
        return False

    def get_search_query(self, request: Request, term: str) -> sa.ColumnElement[bool]:
        """As plain text: % and _ match themselves."""
        columns = (getattr(self.model, name) for name in self.searched)
        text = to_text(term)
        return sa.or_(
            sa.false(), *(sa.cast(it, sa.String).icontains(text, autoescape=True) for it in columns)
        )

    async def find_by_pk(self, request: Request, pk: Any) -> Any:
        """Return None, which becomes a 404, for a malformed key."""
        try:
            return await super().find_by_pk(request, pk)
        except (TypeError, ValueError):
            return None

    async def handle_action(
        self, request: Request, selection: ActionSelection, name: str
    ) -> Response | None:
        if not selection.is_select_all:
            self._check_keys(await selection.pks())
        return await super().handle_action(request, selection, name)

    async def handle_row_action(self, request: Request, pk: Any, name: str) -> Response | None:
        self._check_keys([pk])
        return await super().handle_row_action(request, pk, name)

    def _check_keys(self, pks: Iterable[str]) -> None:
        """
        Raises:
            ActionFailed: a key is malformed.
        """
        keys = sa.inspect(self.model).primary_key
        try:
            for pk in pks if len(keys) == 1 else ():
                keys[0].type.python_type(pk)
        except (TypeError, ValueError):
            raise ActionFailed("No row has this key") from None


def to_text(term: str) -> str:
    """Return a search term in NFC, as text is stored."""
    return normalize("NFC", term[:MAX_SEARCH_LENGTH])


def _format_time(_: Request, value: datetime | None) -> str | None:
    """Format in UTC, like all times of the admin."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if value else None


@asynccontextmanager
async def action_transaction(request: Request) -> AsyncIterator[AsyncSession]:
    """Run an action in a transaction that commits before the response.

    Raises:
        ActionFailed: a service raised an error. The page shows its detail.
    """
    try:
        async with _transaction(request) as db:
            yield db
    except PlinthError as error:
        raise ActionFailed(error.detail) from error


@asynccontextmanager
async def form_transaction(request: Request, *, default_field: str) -> AsyncIterator[AsyncSession]:
    """Save a form in a transaction that commits before the response.

    Args:
        default_field: the field at which to show errors that name no field.

    Raises:
        FormValidationError: the form is invalid, or a service raised an error.
    """
    try:
        async with _transaction(request) as db:
            yield db
    except ValidationError as error:
        raise FormValidationError(
            {str(detail["loc"][0]): detail["msg"] for detail in error.errors()}
        ) from error
    except InvalidField as error:
        raise FormValidationError({error.field: error.reason}) from error
    except PlinthError as error:
        raise FormValidationError({default_field: error.detail}) from error


@asynccontextmanager
async def _transaction(request: Request) -> AsyncIterator[AsyncSession]:
    await release(request.state.session)  # a request holds one connection at a time
    async with request.state.resources.database.transaction() as db:
        yield db
