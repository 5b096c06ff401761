"""SQL conditions of a list: filters, text search, and the rows after the position of a cursor."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ARRAY,
    BindParameter,
    ColumnElement,
    Integer,
    String,
    UnaryExpression,
    and_,
    any_,
    bindparam,
    case,
    false,
    func,
    literal_column,
    or_,
    true,
    tuple_,
)
from sqlalchemy.orm import InstrumentedAttribute

from plinth.db.models import NumberedBase

TRIGRAM: ColumnElement[str] = literal_column("'[[:alnum:]]{3}'", String)
ADDRESS: ColumnElement[str] = literal_column("'([[:alnum:]]{3}[^@]*@).+'", String)

Column = InstrumentedAttribute[Any]
OPERATORS: Mapping[str, Callable[[Any, str], ColumnElement[bool]]] = {
    "": lambda column, name: column == any_(bind(name, ARRAY(column.type))),
    "eq": lambda column, name: column == any_(bind(name, ARRAY(column.type))),
    "gte": lambda column, name: column >= bind(name, column.type),
    "gt": lambda column, name: column > bind(name, column.type),
    "lte": lambda column, name: column <= bind(name, column.type),
    "lt": lambda column, name: column < bind(name, column.type),
}
"""By the suffix of a query parameter, after its `__`."""


@dataclass(frozen=True, slots=True)
class SortKey:
    column: Column
    descending: bool

    def reversed(self) -> "SortKey":
        return SortKey(self.column, not self.descending)

    def order_by(self, column: ColumnElement[Any] | Column) -> UnaryExpression[Any]:
        return column.desc() if self.descending else column.asc()

    @property
    def is_nullable(self) -> bool:
        return bool(self.column.property.columns[0].nullable)

    def after(self, value: Any) -> ColumnElement[bool]:
        """Match the values that follow `value`. NULL is the largest, as in PostgreSQL."""
        if self.descending:
            return self.column.is_not(None) if value is None else self.column < value
        if value is None:
            return false()
        larger = self.column > value
        return or_(larger, self.column.is_(None)) if self.is_nullable else larger

    def equals(self, value: Any) -> ColumnElement[bool]:
        return self.column.is_(None) if value is None else self.column == value


def rows_after(
    keys: Sequence[SortKey], values: Sequence[ColumnElement[Any] | None]
) -> ColumnElement[bool]:
    """Match the rows that follow a row with these values; None is NULL."""
    if not compare_as_row(keys):
        return _rows_after_by_column(keys, values)
    columns = tuple_(*(key.column for key in keys))
    edge = tuple_(*values)
    return columns < edge if keys[0].descending else columns > edge


def compare_as_row(keys: Sequence[SortKey]) -> bool:
    """Return whether one row comparison is enough, which a single index scan can answer."""
    return len({key.descending for key in keys}) == 1 and not any(key.is_nullable for key in keys)


def _rows_after_by_column(
    keys: Sequence[SortKey], values: Sequence[ColumnElement[Any] | None]
) -> ColumnElement[bool]:
    (key, *other_keys), (value, *other_values) = keys, values
    after = key.after(value)
    if not other_keys:
        return after
    return or_(after, and_(key.equals(value), _rows_after_by_column(other_keys, other_values)))


def filter_condition(
    model: type[NumberedBase], parameter: str, *, is_null: bool | None
) -> ColumnElement[bool]:
    """Return the condition of a query parameter, whose value is bound as `by_<parameter>`.

    Args:
        is_null: the value of a `__null` parameter, which is part of the SQL.
    """
    name, _, operator = parameter.partition("__")
    column: Column = getattr(model, name)
    if operator == "null":
        return column.is_(None) if is_null else column.is_not(None)
    if operator == "contains":
        return contains_by_trigram(model, column, f"by_{parameter}")
    return OPERATORS[operator](column, f"by_{parameter}")


def contains_by_trigram(
    model: type[NumberedBase], column: ColumnElement[str] | Column, name: str
) -> ColumnElement[bool]:
    """Match as `contains`, for a column with a trigram index.

    The condition corrects two estimates of PostgreSQL.

    *Rare text.* PostgreSQL estimates the frequency of a text from a sample of a hundred rows. If
    one of them contains the text, it expects a hundredth of the table, even if only a dozen of a
    million rows match. It then scans the table in sort order to stop at the twentieth match, and
    reads all of it. So if the index can find the text, `model.id + 0 = model.id` divides the
    estimate by 200: the default selectivity of an unknown equality. A text that more than about 5 %
    of the rows contain is still found in sort order.

    *Domains of e-mail addresses.* Most rows share the trigrams of a few domains, and looking these
    up in the index takes ten times the work. So search the index for the local part only, then
    compare the rows with the whole text.
    """
    text = bindparam(name, type_=String)
    # In the plan for a known text the CASE is gone; only its effect on the estimate is left.
    lower_estimate = model.id + literal_column("0", Integer) == model.id
    whole_text = func.coalesce(contains(column.concat(literal_column("''")), name), false())
    return and_(
        column.ilike(func.regexp_replace(text, ADDRESS, literal_column(r"'\1%'")), escape="/"),
        case(
            (text.regexp_match(ADDRESS), and_(lower_estimate, whole_text)),
            (text.regexp_match(TRIGRAM), lower_estimate),
            else_=true(),
        ),
    )


def contains(column: ColumnElement[str] | Column, name: str) -> ColumnElement[bool]:
    """Match if the column contains the text, ignoring case. Bind `like_pattern(text)` as `name`."""
    return column.ilike(bindparam(name, type_=String), escape="/")


def like_pattern(text: str) -> str:
    """Return the LIKE pattern, with `/` as escape character, of a text at any position."""
    for special in "/%_":
        text = text.replace(special, f"/{special}")
    return f"%{text}%"


def bind(name: str, type_: Any) -> BindParameter[Any]:
    return bindparam(name, type_=type_)
