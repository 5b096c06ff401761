"""A table in the admin: read only, and never by another's words. Views say what may change."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, cast
from unicodedata import normalize

import sqlalchemy as sa
from starlette.requests import Request
from starlette.responses import Response
from starlette_admin.actions import ActionSelection
from starlette_admin.contrib.sqla import ModelView
from starlette_admin.contrib.sqla.converters import ModelConverter
from starlette_admin.converters import converts
from starlette_admin.exceptions import ActionFailed
from starlette_admin.fields import BaseField, DateTimeField, FloatField
from starlette_admin.types import RequestAction, RowActionsDisplayType

MAX_SEARCH_LENGTH = 100


class _Converter(ModelConverter):
    @converts("Float")  # since SQLAlchemy 2.1 it is no kind of Numeric
    def conv_float(self, *args: Any, **kwargs: Any) -> BaseField:
        return FloatField(**self._field_common(*args, **kwargs))


class Table(ModelView):
    """
    Attributes:
        columns: those that are shown, filtered and sorted by; no others are read into a page.
        searched: those that the search looks through.
    """

    columns: Sequence[str] = ()
    searched: Sequence[str] = ()
    page_size = 25
    page_size_options = (25, 50, 100)
    row_actions_display_type = RowActionsDisplayType.DROPDOWN
    actions: Sequence[str] | None = ()
    row_actions: Sequence[str] | None = ()  # a click on a row shows it
    exporters = ()
    importers = ()
    fields_default_sort: Sequence[tuple[str, bool] | str] | None = (("id", True),)

    def __init__(self, model: type[Any]) -> None:
        self.fields = cast("list[BaseField]", list(self.columns))  # names will do as well
        super().__init__(model, converter=_Converter())
        for field in self.fields:
            field.label = (field.label or field.name).removeprefix("Is ").capitalize()
            if isinstance(field, DateTimeField):
                field.formatter = {RequestAction.LIST: _show_time, RequestAction.DETAIL: _show_time}

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
        """None, and so a 404, for what can be no key."""
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
            ActionFailed: one can be no key.
        """
        keys = sa.inspect(self.model).primary_key
        try:
            for pk in pks if len(keys) == 1 else ():
                keys[0].type.python_type(pk)
        except (TypeError, ValueError):
            raise ActionFailed("There is no such row") from None


def to_text(term: str) -> str:
    """Return a search term in the form of stored text: NFC."""
    return normalize("NFC", term[:MAX_SEARCH_LENGTH])


def _show_time(_: Request, value: datetime | None) -> str | None:
    """In UTC, as every time in these pages."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if value else None
