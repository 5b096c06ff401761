"""Building blocks of statements that are compiled once and run with different values."""

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
    """Select all columns of a model except those with `info={"secret": True}`."""
    attributes = class_mapper(model).column_attrs
    public = (it.key for it in attributes if not it.columns[0].info.get("secret"))
    return select(*(getattr(model, key) for key in public))


def in_array(column: Column, name: str) -> ColumnElement[bool]:
    """Return the condition that the list parameter `name` contains the column."""
    return column == any_(array_param(name, column.type))


def array_param(name: str, kind: TypeEngine[Any]) -> ColumnElement[Any]:
    """Return a parameter that is a list of values of a type.

    A subquery hides it from the planner. If the planner sees the length of the list, it makes a
    new plan for each run, which takes twice as long as the lookup itself.
    """
    array = ARRAY(kind)
    return cast(select(bindparam(name, type_=array)).scalar_subquery(), array)


def force_custom_plan() -> ColumnElement[bool]:
    """Return a condition that is always true and makes PostgreSQL plan each run for its values.

    PostgreSQL plans a prepared statement for its values five times. It then switches to a generic
    plan if its estimated cost is not higher on average. For a full-text search, the generic plan is
    a hundred times slower for a common word. This condition has an expensive branch that a generic
    plan must include in its cost, and that the values of a custom plan eliminate.
    """
    expensive: ColumnElement[bool] = literal_column(EXPENSIVE_SUBQUERY, Boolean)
    return case((bindparam("holds", value=True, type_=Boolean), true()), else_=expensive)
