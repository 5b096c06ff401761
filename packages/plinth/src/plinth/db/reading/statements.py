"""What statements are made of that are compiled once and whose values come with each run."""

from typing import Any

from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    Select,
    any_,
    bindparam,
    case,
    cast,
    literal_column,
    select,
    true,
)
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, class_mapper
from sqlalchemy.types import TypeEngine

EXPENSIVE_SUBQUERY = "(SELECT count(*) > 0 FROM generate_series(1, 1000000000000))"

Column = InstrumentedAttribute[Any]


def select_columns(model: type[DeclarativeBase]) -> Select[*tuple[Any, ...]]:
    """All that an object of it would have, without what it refers to, and what is secret: a column
    with `info={"secret": True}`."""
    attributes = class_mapper(model).column_attrs
    shown = (it.key for it in attributes if not it.columns[0].info.get("secret"))
    return select(*(getattr(model, key) for key in shown))


def in_array(column: Column, name: str) -> ColumnElement[bool]:
    """For look-ups by key: the value of `name` is a list, and this is in it."""
    return column == any_(array_param(name, column.type))


def array_param(name: str, kind: TypeEngine[Any]) -> ColumnElement[Any]:
    """A parameter that is a list, of these.

    It comes by a subquery, which hides it from the planner. Of a list that it sees it takes the
    length into account, and so plans anew each time, at twice what a look-up itself costs.
    """
    kinds = ARRAY(kind)
    return cast(select(bindparam(name, type_=kinds)).scalar_subquery(), kinds)


def force_custom_plan() -> ColumnElement[bool]:
    """A condition that holds, for a statement whose best way depends on what is asked for.

    A statement that is kept prepared PostgreSQL plans for its values five times. Then it takes one
    plan for all, where that does not seem dearer on average, for as long as the connection lives;
    by the one for all, a common word takes a hundred times as long to search for. To that plan this
    condition seems dearer than anything, since it could be the other case; from a plan for given
    values it is gone.
    """
    dear: ColumnElement[bool] = literal_column(EXPENSIVE_SUBQUERY, Boolean)
    return case((bindparam("holds", value=True, type_=Boolean), true()), else_=dear)
