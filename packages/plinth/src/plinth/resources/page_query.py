"""The SQL of a list's pages, and the cursors that continue it.

A page by offset reads and discards all rows before it, and shifts when rows are added or deleted. A
page by key begins after the last row of the previous page, at the same cost for every page.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as InvalidBase64
from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Select,
    bindparam,
    column,
    func,
    literal,
    literal_column,
    select,
    true,
)

from plinth.db.models import NumberedBase, owner_column
from plinth.db.reading import (
    Query,
    Readable,
    Reader,
    SharedQuery,
    array_param,
    force_custom_plan,
    read_all,
    read_one,
    select_columns,
)
from plinth.db.tenancy import current_tenant
from plinth.resources.conditions import (
    SortKey,
    bind,
    compare_as_row,
    contains_by_trigram,
    filter_condition,
    rows_after,
)
from plinth.security.encryption import decrypt, encrypt

MAX_COUNT = 10_000
"""Counting stops here: it reads every row, and a million rows take a tenth of a second."""

EDGE_NUMBER = "number_of_page"


class Cursor(NamedTuple):
    """The position where a page begins, as encrypted in a link.

    Attributes:
        sort: the sort order, as in the query parameter.
        backwards: the page ends before the position instead.
        values: values of the sort keys in the row at the position, as JSON; see `Order.read`.
    """

    sort: str
    backwards: bool
    values: list[Any]


class Order:
    """A sort order of a list.

    Attributes:
        keys: one for each column, and the primary key last, so that the order is total.
    """

    def __init__(self, model: type[NumberedBase], sort: str) -> None:
        self.keys = tuple(_sort_keys(model, sort))
        self._sort = sort
        self._table = model.__tablename__
        self._names = [key.column.key for key in self.keys]
        types: Any = tuple(key.column.type.python_type | None for key in self.keys)
        self._values: TypeAdapter[tuple[Any, ...]] = TypeAdapter(tuple[types])

    def cursor_at(self, row: object, *, backwards: bool) -> str:
        return self.encrypt([getattr(row, name) for name in self._names], backwards=backwards)

    def encrypt(self, values: Sequence[Any], *, backwards: bool) -> str:
        cursor = {"sort": self._sort, "backwards": backwards, "values": values}
        encrypted = encrypt(cursor, belongs_to=_cursor_purpose(self._table))
        return urlsafe_b64encode(encrypted).rstrip(b"=").decode()

    def read(self, values: Sequence[Any]) -> Sequence[Any]:
        """Convert the values of a cursor to the types of the columns.

        Raises:
            ValueError: the columns have other types since.
        """
        try:
            return self._values.validate_python(values, strict=False)
        except ValidationError:
            raise ValueError("is out of date: start again without a cursor") from None


def decrypt_cursor(text: str, table: str) -> Cursor:
    """
    Raises:
        ValueError: the text is not a cursor, or a cursor of another table or organization.
    """
    try:
        encrypted = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (InvalidBase64, ValueError):
        raise ValueError("not Base64") from None
    return Cursor(**decrypt(encrypted, belongs_to=_cursor_purpose(table)))


def _cursor_purpose(table: str) -> str:
    organization_id = current_tenant()
    return f"cursor of {table}" + ("" if organization_id is None else f" of {organization_id}")


def column_names(sort: str) -> list[str]:
    return [part.removeprefix("-") for part in sort.split(",")]


def _sort_keys(model: type[NumberedBase], sort: str) -> Iterator[SortKey]:
    directions: dict[str, bool] = {}
    for part in sort.split(","):
        directions.setdefault(part.removeprefix("-"), part.startswith("-"))
    directions.setdefault("id", sort.rpartition(",")[2].startswith("-"))
    for name, descending in directions.items():
        yield SortKey(getattr(model, name), descending)


class Shape(NamedTuple):
    """The properties of a page that change its SQL. Pages of equal shape differ only in values.

    Attributes:
        edge: for each sort key, whether the position has a value (False: NULL); None for a page
            without a cursor.
        filters: names of the query parameters; for `__null` also the value.
        is_owned: only the rows of one user or organization.
        size: the page size if it is the default; None for all other sizes.
    """

    order: Order
    backwards: bool
    edge: tuple[bool, ...] | None
    filters: tuple[tuple[str, bool | None], ...]
    has_query: bool
    is_owned: bool
    skips: bool
    size: int | None

    @property
    def has_one_plan(self) -> bool:
        """Whether the same plan is the best for all values."""
        is_selective = self.filters or self.has_query or self.is_owned or self.skips
        return not is_selective and (self.edge is None or compare_as_row(self.order.keys))


class PageQuery:
    """The query of all pages of one shape.

    Its parameters are `edge_0`, `edge_1`, ...; `owner`; `query`, a `like_pattern`; and
    `by_<parameter>` for each filter.

    If one plan is the best for all values, pages requested in the same iteration of the event loop
    share one query, even from different positions.
    """

    def __init__(
        self, model: type[NumberedBase], search: ColumnElement[str] | None, shape: Shape
    ) -> None:
        self._model = model
        self._shape = shape
        self._where = list(_conditions(model, search, shape))
        if not shape.has_one_plan:
            self._where.append(force_custom_plan())
        keys = shape.order.keys
        self._keys = [key.reversed() for key in keys] if shape.backwards else keys
        self.page = Query(self._select(_bind_edge(self._keys, shape.edge) if shape.edge else ()))

    async def read(
        self, db: Readable, values: Mapping[str, Any], *, limit: int, skip: int
    ) -> Sequence[Any]:
        if self._shared_page is not None and isinstance(db, Reader):
            return await db.shared(self._shared_page, **values)
        return await read_all(db, self.page, limit=limit, skip=skip, **values)

    async def read_total(self, db: Readable, values: Mapping[str, Any]) -> int:
        if self._shape.has_one_plan and isinstance(db, Reader):
            (row,) = await db.shared(self._shared_count)
        else:
            row = await read_one(db, self._count, **values)
        total: int = row.total
        return total

    @cached_property
    def _shared_page(self) -> SharedQuery | None:
        """None if requests cannot share the query."""
        if not (self._shape.has_one_plan and self._shape.size is not None):
            return None
        if self._shape.edge is None:
            return SharedQuery(self.page)
        if not all(issubclass(key.column.type.python_type, Hashable) for key in self._keys):
            return None
        return SharedQuery(self.page, self._select_several)

    @cached_property
    def _shared_count(self) -> SharedQuery:
        return SharedQuery(self._count)

    @cached_property
    def _count(self) -> Query:
        rows = select(literal(1)).select_from(self._model).where(*self._where).limit(MAX_COUNT)
        return Query(select(func.count().label("total")).select_from(rows.subquery()))

    def _select(self, edge: Sequence[ColumnElement[Any] | None]) -> Select[*tuple[Any, ...]]:
        page = select_columns(self._model).where(*self._where)
        if edge:
            page = page.where(rows_after(self._keys, edge))
        return _limit(page.order_by(*(key.order_by(key.column) for key in self._keys)), self._shape)

    def _select_several(self) -> Select[*tuple[Any, ...]]:
        """Select the pages of several edges. The first column is the number of the edge."""
        names = [f"edge_{index}" for index in range(len(self._keys))]
        types = [key.column.type for key in self._keys]
        edges = (
            func.unnest(*map(array_param, names, types))
            .table_valued(*map(column, names, types), with_ordinality=EDGE_NUMBER)
            .render_derived(name="edges")
        )
        page = self._select([edges.c[name] for name in names]).lateral("page")
        order = [key.order_by(page.c[key.column.key]) for key in self._keys]
        number = edges.c[EDGE_NUMBER]
        return select(number, *page.c).join_from(edges, page, true()).order_by(number, *order)


def _conditions(
    model: type[NumberedBase], search: ColumnElement[str] | None, shape: Shape
) -> Sequence[ColumnElement[bool]]:
    conditions = [filter_condition(model, name, is_null=value) for name, value in shape.filters]
    if shape.has_query and search is not None:
        conditions.append(contains_by_trigram(model, search, "query"))
    if shape.is_owned:
        owner: Any = owner_column(model)
        conditions.append(owner == bind("owner", owner.type))
    return conditions


def _limit(page: Select[*tuple[Any, ...]], shape: Shape) -> Select[*tuple[Any, ...]]:
    """Add OFFSET and LIMIT. The limit is one row more than the page, to see if a next page exists.

    If PostgreSQL does not know the limit, it assumes a tenth of the table and plans each execution
    again, which costs more than the page. So write the default limit into the SQL if one plan is
    the best for all values.
    """
    if shape.skips:
        page = page.offset(bindparam("skip"))
    if shape.size is not None and shape.has_one_plan:
        return page.limit(literal_column(str(shape.size + 1)))
    return page.limit(bindparam("limit"))


def _bind_edge(
    keys: Sequence[SortKey], has_value: Sequence[bool]
) -> list[BindParameter[Any] | None]:
    return [
        bind(f"edge_{index}", key.column.type) if there else None
        for index, (key, there) in enumerate(zip(keys, has_value, strict=True))
    ]
