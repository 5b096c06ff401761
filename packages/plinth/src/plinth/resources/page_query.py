"""The SQL of a list's pages. Of pages that differ in their values alone there is one, made once."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    BindParameter,
    ColumnElement,
    Integer,
    Select,
    String,
    and_,
    any_,
    bindparam,
    case,
    column,
    false,
    func,
    literal,
    literal_column,
    select,
    true,
)
from sqlalchemy.orm import InstrumentedAttribute

from plinth.db.models import NumberedBase
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
from plinth.resources.cursor import Order, SortKey, after, compare_as_row

MAX_COUNT = 10_000
"""Up to where rows are counted: counting reads each, a million take a tenth of a second."""

TRIGRAM: ColumnElement[str] = literal_column("'[[:alnum:]]{3}'", String)
ADDRESS: ColumnElement[str] = literal_column("'([[:alnum:]]{3}[^@]*@).+'", String)

NUMBER = "number_of_page"

Column = InstrumentedAttribute[Any]
OPERATORS: Mapping[str, Callable[[Any, str], ColumnElement[bool]]] = {
    "": lambda column, name: column == any_(_bind(name, ARRAY(column.type))),
    "eq": lambda column, name: column == any_(_bind(name, ARRAY(column.type))),
    "gte": lambda column, name: column >= _bind(name, column.type),
    "gt": lambda column, name: column > _bind(name, column.type),
    "lte": lambda column, name: column <= _bind(name, column.type),
    "lt": lambda column, name: column < _bind(name, column.type),
}
"""By what stands after the `__` of a query parameter."""


class Shape(NamedTuple):
    """All by which the SQL of two pages differs.

    Attributes:
        edge: where it begins, each value whether it is there (False: NULL); None for the start.
        filters: the names of the query parameters; with those of `__null`, what is asked for.
        is_owned: only the rows of one user.
        skips: it leaves rows out.
        size: where it is the usual one; None for any other.
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
        """The best way to such a page is the same whatever its values are."""
        chosen = self.filters or self.has_query or self.is_owned or self.skips
        return not chosen and (self.edge is None or compare_as_row(self.order.keys))


class PageQuery:
    """Its values are `edge_0` and so on; `owner`; `query`, as `pattern` makes it; and each
    filter's, by its parameter's name with `by_` before it.

    Pages for which one plan is the best share a query with all that are asked for in the same turn
    of the loop, whatever their edges are.
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
        self._way = [key.turned() for key in keys] if shape.backwards else keys
        self.page = Query(self._select(_edge(self._way, shape.edge) if shape.edge else ()))

    async def read(
        self, db: Readable, values: Mapping[str, Any], *, limit: int, skip: int
    ) -> Sequence[Any]:
        if self._shared is not None and isinstance(db, Reader):
            return await db.shared(self._shared, **values)
        return await read_all(db, self.page, limit=limit, skip=skip, **values)

    async def read_total(self, db: Readable, values: Mapping[str, Any]) -> int:
        if self._shape.has_one_plan and isinstance(db, Reader):
            (counted,) = await db.shared(self._counted)
        else:
            counted = await read_one(db, self._count, **values)
        total: int = counted.total
        return total

    @cached_property
    def _shared(self) -> SharedQuery | None:
        """None where each is asked for by itself."""
        if not (self._shape.has_one_plan and self._shape.size is not None):
            return None
        if self._shape.edge is None:
            return SharedQuery(self.page)
        if not all(issubclass(key.column.type.python_type, Hashable) for key in self._way):
            return None
        return SharedQuery(self.page, self._select_several)

    @cached_property
    def _counted(self) -> SharedQuery:
        return SharedQuery(self._count)

    @cached_property
    def _count(self) -> Query:
        some = select(literal(1)).select_from(self._model).where(*self._where).limit(MAX_COUNT)
        return Query(select(func.count().label("total")).select_from(some.subquery()))

    def _select(self, edge: Sequence[ColumnElement[Any] | None]) -> Select[*tuple[Any, ...]]:
        page = select_columns(self._model).where(*self._where)
        if edge:
            page = page.where(after(self._way, edge))
        return _cut(page.order_by(*(key.order for key in self._way)), self._shape)

    def _select_several(self) -> Select[*tuple[Any, ...]]:
        """The pages of several edges. Which of them a row belongs to stands before its columns."""
        names = [f"edge_{place}" for place in range(len(self._way))]
        kinds = [key.column.type for key in self._way]
        edges = (
            func.unnest(*map(array_param, names, kinds))
            .table_valued(*map(column, names, kinds), with_ordinality=NUMBER)
            .render_derived(name="edges")
        )
        page = self._select([edges.c[name] for name in names]).lateral("page")
        order = [key.order_by(page.c[key.column.key]) for key in self._way]
        number = edges.c[NUMBER]
        return select(number, *page.c).join_from(edges, page, true()).order_by(number, *order)


def containing(column: ColumnElement[str] | Column, name: str) -> ColumnElement[bool]:
    """The value of `name` is as `pattern` makes it."""
    return column.ilike(bindparam(name, type_=String), escape="/")


def found_by_trigrams(
    model: type[NumberedBase], column: ColumnElement[str] | Column, name: str
) -> ColumnElement[bool]:
    """The same, of what has a trigram index, with two things that PostgreSQL does not know.

    *How rare a text may be.* It guesses by a sample of a hundred rows. Where one of these holds the
    text, it takes a hundredth of all to do so, though it may be a dozen of a million; goes through
    them in the order that is wanted, to stop at the twentieth; and reads them all, as there are not
    so many. So of a text that the index can find, its guess is divided by 200: it takes that for
    the share of rows that are equal to something of which it knows nothing. What more than some
    five hundredths of all hold is still found in their order.

    *That the domain of a mail address says little.* The index would look through its entries for
    each three letters of it, which are those of all rows, or of half: ten times the work. So it
    looks for what stands before, and the rows that it finds are held against the whole.
    """
    text = bindparam(name, type_=String)
    # All of it is gone from a plan for a given text, but what stays of it for that text.
    doubt = model.id + literal_column("0", Integer) == model.id
    whole = func.coalesce(containing(column.concat(literal_column("''")), name), false())
    return and_(
        column.ilike(func.regexp_replace(text, ADDRESS, literal_column(r"'\1%'")), escape="/"),
        case(
            (text.regexp_match(ADDRESS), and_(doubt, whole)),
            (text.regexp_match(TRIGRAM), doubt),
            else_=true(),
        ),
    )


def pattern(text: str) -> str:
    """For plain text, anywhere, without case."""
    for special in "/%_":
        text = text.replace(special, f"/{special}")
    return f"%{text}%"


def _conditions(
    model: type[NumberedBase], search: ColumnElement[str] | None, shape: Shape
) -> Sequence[ColumnElement[bool]]:
    conditions = [_condition(model, name, null=null) for name, null in shape.filters]
    if shape.has_query and search is not None:
        conditions.append(found_by_trigrams(model, search, "query"))
    if shape.is_owned:
        owner: Column = model.owner_id  # type: ignore[attr-defined]
        conditions.append(owner == _bind("owner", owner.type))
    return conditions


def _cut(page: Select[*tuple[Any, ...]], shape: Shape) -> Select[*tuple[Any, ...]]:
    """With a row more than is shown, which tells whether there is a next page.

    Where PostgreSQL does not know the limit, it plans anew for each run, at more than the page's
    own cost: for all that it knows, a tenth of the table is wanted. So it is told the usual one
    where one plan is the best for all values.
    """
    if shape.skips:
        page = page.offset(bindparam("skip"))
    if shape.size is not None and shape.has_one_plan:
        return page.limit(literal_column(str(shape.size + 1)))
    return page.limit(bindparam("limit"))


def _condition(
    model: type[NumberedBase], parameter: str, *, null: bool | None
) -> ColumnElement[bool]:
    name, _, operator = parameter.partition("__")
    column: Column = getattr(model, name)
    if operator == "null":
        return column.is_(None) if null else column.is_not(None)
    if operator == "contains":
        return found_by_trigrams(model, column, f"by_{parameter}")
    return OPERATORS[operator](column, f"by_{parameter}")


def _edge(keys: Sequence[SortKey], given: Sequence[bool]) -> list[BindParameter[Any] | None]:
    return [
        _bind(f"edge_{place}", key.column.type) if there else None
        for place, (key, there) in enumerate(zip(keys, given, strict=True))
    ]


def _bind(name: str, kind: Any) -> BindParameter[Any]:
    return bindparam(name, type_=kind)
