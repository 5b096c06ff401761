"""Names: what may be one, what it becomes in the plural and as a class."""

import builtins
import keyword
import re
from typing import Any
from unittest.mock import patch

from pydantic import BaseModel
from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS

from app.cli.failure import Failure
from app.models.base import NumberedBase

LONGEST = 40
SNAKE_CASE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")

PYTHON = {*keyword.kwlist, *keyword.softkwlist, "type"}  # the last one since Python 3.12
OF_EVERY_ROW = {"id", "owner_id", "version", "created_at", "updated_at"}
OF_EVERY_LIST = {"skip", "limit", "cursor", "sort", "total", "q"}
# What the modules that are written call something else by: a field of that name would hide it.
TYPES = {"bool", "bytes", "date", "datetime", "dict", "float", "int", "list", "set", "str", "tuple"}
IN_MODELS = TYPES | {"cast", "func", "object", "property", "super", "text"}
IN_ROUTES = {
    *("access", "any", "app", "changes", "client", "copy", "crud", "db", "field", "once", "other"),
    *("owner", "page", "people", "query", "request", "response", "responses", "router", "rows"),
    *("reading", "second", "settings", "several", "stranger", "superuser", "user", "wanted"),
}

# The names of classes that the modules import, as the names that would become them.
IN_CLASSES = {
    *("annotated", "base", "by", "changed", "conflict", "decimal", "double", "index", "listing"),
    *("mapped", "mapping", "numeric", "owned", "principal", "sequence", "string", "table"),
    *("timestamped", "uuid", "versioned"),
}


def check_resource_name(name: str) -> None:
    """
    Raises:
        Failure: why it cannot be one.
    """
    _check(name, "NAME")
    if hasattr(builtins, name) or name in IN_MODELS | IN_ROUTES | IN_CLASSES:
        raise _refuse(name, "NAME", "means something else in the code that would be written")


def check_field_name(name: str, argument: str) -> None:
    """
    Args:
        argument: what was typed, for the sentence.

    Raises:
        Failure: why it cannot be one.
    """
    _check(name, argument)
    if name in OF_EVERY_ROW:
        raise _refuse(name, argument, "is a column that the table has or may have anyway")
    if name in OF_EVERY_LIST:
        raise _refuse(name, argument, "is a query parameter of every list")
    if name in RESERVED_WORDS:
        raise _refuse(name, argument, "is a reserved word of SQL")
    if name in IN_MODELS or hasattr(BaseModel, name) or hasattr(NumberedBase, name):
        raise _refuse(name, argument, "means something else in the classes that would be written")


def check_table_name(name: str, argument: str) -> None:
    """
    Raises:
        Failure: why it cannot be one.
    """
    _check(name, argument)
    if name in RESERVED_WORDS:
        raise _refuse(name, argument, "is a reserved word of SQL; say another with --plural")


def pluralise(name: str) -> str:
    """The plural of the last word: `work_item` gives `work_items`, `person` gives `people`."""
    before, line, last = name.rpartition("_")
    return f"{before}{line}{_load_inflect().plural_noun(last)}"


def _load_inflect() -> Any:
    """The engine, without the checks that typeguard builds into its code while it is imported:
    these take ten times as long as all the rest."""
    import typeguard  # noqa: PLC0415 - for the plural alone

    with patch.object(typeguard, "typechecked", lambda function: function):
        import inflect  # noqa: PLC0415
    return inflect.engine()


def class_name(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _check(name: str, argument: str) -> None:
    if "__" in name:
        raise _refuse(name, argument, "has two underscores in a row, which filters are told by")
    if not SNAKE_CASE.fullmatch(name):
        raise _refuse(name, argument, "is not in snake_case: small letters, digits, single _")
    if len(name) > LONGEST:
        raise _refuse(name, argument, f"is longer than {LONGEST} characters")
    if name in PYTHON:
        raise _refuse(name, argument, "is a word of Python")


def _refuse(name: str, argument: str, why: str) -> Failure:
    return Failure(f"{argument}: {name} {why}; choose another name.")
