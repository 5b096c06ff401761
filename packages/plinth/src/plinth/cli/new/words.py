"""Check names, and derive plurals and class names."""

import builtins
import keyword
import re
from typing import Any
from unittest.mock import patch

from pydantic import BaseModel
from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS

from plinth.cli.failure import Failure
from plinth.db.models import NumberedBase
from plinth.resources.crud import snake_case

MAX_LENGTH = 40
SNAKE_CASE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")

GENERATED_COLUMNS = {
    "id", "owner_id", "organization_id", "version", "created_at", "updated_at",
}  # fmt: skip
# PostgreSQL's hidden columns of every table.
SYSTEM_COLUMNS = {"cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"}
# A column of that name would shadow the type in the annotations of later columns.
TYPES = {"bool", "dict", "float", "int", "str"}
PYDANTIC_PREFIXES = ("model_dump", "model_validate")  # reserved by Pydantic in every model

# Words that inflect gets wrong. Other words that end with one of SINGULAR_ENDINGS are singulars.
SINGULAR_ENDINGS = ("ss", "us", "is", "as", "os")
SINGULARS = {"corps", "data", "gas", "goods", "james", "lens", "means", "media", "news", "sales"}
UNCOUNTABLE = {"data", "goods", "means", "media", "sales"}
PLURALS = {
    "apis": "api",
    "emojis": "emoji",
    "kpis": "kpi",
    "skis": "ski",
    "taxis": "taxi",
    "gurus": "guru",
    "menus": "menu",
    "plateaus": "plateau",
    "uris": "uri",
    "areas": "area",
    "cameras": "camera",
    "formulas": "formula",
    "quotas": "quota",
    "ideas": "idea",
    "logos": "logo",
    "memos": "memo",
    "photos": "photo",
    "repos": "repo",
    "todos": "todo",
    "videos": "video",
    "indices": "index",
    "matrices": "matrix",
}


def check_form(name: str, argument: str) -> None:
    """
    Raises:
        Failure: the name cannot be used in Python, and why.
    """
    if "__" in name:
        raise _refuse(
            name, argument, "has two underscores in a row, which separate a filter's operator"
        )
    if not SNAKE_CASE.fullmatch(name):
        raise _refuse(
            name, argument, "is not in snake_case: lowercase letters, digits and single underscores"
        )
    if len(name) > MAX_LENGTH:
        raise _refuse(name, argument, f"is longer than {MAX_LENGTH} characters")
    if keyword.iskeyword(name):
        raise _refuse(name, argument, "is a keyword of Python")


def check_resource_name(name: str) -> None:
    """
    Raises:
        Failure: the name cannot be used.
    """
    check_form(name, "NAME")
    if hasattr(builtins, name):
        raise _refuse(name, "NAME", "is a built-in function or type of Python")
    if keyword.iskeyword(class_name(name)) or hasattr(builtins, class_name(name)):
        raise _refuse(name, "NAME", f"would have the class {class_name(name)}, a word of Python")
    if (snake := snake_case(class_name(name))) != name:
        # Error codes and messages are derived from the name of the class.
        raise _refuse(name, "NAME", f"and {snake} would have the same class {class_name(name)}")


def check_column_name(name: str, argument: str) -> None:
    """
    Args:
        argument: as typed, for the error message.

    Raises:
        Failure: the name cannot be used.
    """
    check_form(name, argument)
    if name in GENERATED_COLUMNS:
        raise _refuse(name, argument, "is a column that every table has or may get")
    if name in SYSTEM_COLUMNS:
        raise _refuse(name, argument, "is a system column of PostgreSQL")
    if hasattr(BaseModel, name) or name.startswith(PYDANTIC_PREFIXES):
        raise _refuse(name, argument, "is an attribute of every Pydantic model")
    if hasattr(NumberedBase, name):
        raise _refuse(name, argument, "is an attribute of every SQLAlchemy model")
    if name == "self":
        raise _refuse(name, argument, "is a parameter of every model's constructor")
    if name in TYPES:
        raise _refuse(name, argument, "is a type that the model's annotations need")


def check_table_name(name: str, argument: str) -> None:
    """
    Raises:
        Failure: the name cannot be used.
    """
    check_form(name, argument)
    if name in RESERVED_WORDS:
        raise Failure(
            f"{argument}: {name} is a reserved word of SQL; give the table another name with "
            "--plural."
        )


def singular_of(name: str) -> str | None:
    """Return the singular of a plural, `ticket` for `tickets`; None for a singular."""
    before, line, last = name.rpartition("_")
    singular = _singular_of_word(last)
    return f"{before}{line}{singular}" if singular else None


def pluralize(name: str) -> str:
    """Return the plural of the last word: `work_items` for `work_item`, `people` for `person`."""
    before, line, last = name.rpartition("_")
    plural = last if last in UNCOUNTABLE else _load_inflect().plural_noun(last)
    return f"{before}{line}{plural}"


def class_name(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _singular_of_word(word: str) -> str | None:
    if word in PLURALS:
        return PLURALS[word]
    if word in SINGULARS or word.endswith(SINGULAR_ENDINGS):
        return None
    inflect = _load_inflect()
    singular: str | bool = inflect.singular_noun(word)
    if not isinstance(singular, str) or singular == word:
        return None
    return singular if inflect.plural_noun(singular) == word else None


def _load_inflect() -> Any:
    """Import inflect without the run-time checks of typeguard, which make it ten times slower."""
    import typeguard  # noqa: PLC0415 - only inflect needs it

    with patch.object(typeguard, "typechecked", lambda function: function):
        import inflect  # noqa: PLC0415
    return inflect.engine()


def _refuse(name: str, argument: str, reason: str) -> Failure:
    return Failure(f"{argument}: {name} {reason}; choose another name.")
