"""Collect all faults of the settings, so that they can be corrected at once."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails, PydanticCustomError

COLLECTIONS = (list, tuple, set, frozenset, dict)
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
NOT_UTF8 = re.compile(r"[\ud800-\udfff]")  # how Python represents such bytes of the environment
KIND = "setting"
JSON_LIST = 'must be a JSON list, such as ["one", "two"]'
JSON_OBJECT = 'must be a JSON object, such as {"name": "value"}'
MESSAGES = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "dict_type": JSON_OBJECT,
    "extra_forbidden": "does not exist: correct or remove it",
    "list_type": JSON_LIST,
    "model_type": JSON_OBJECT,
    "tuple_type": JSON_LIST,
}
"""For types of Pydantic errors whose own messages are about Python."""


class Fault(NamedTuple):
    """
    Attributes:
        name: of the setting.
        text: a sentence with the name and without the value, which may be secret.
    """

    name: str
    text: str


def read_value(field: FieldInfo, value: Any) -> Any:
    """Return the text of a variable; for a collection, its parsed JSON.

    Raises:
        ValueError: the JSON is invalid, or the text has control characters.
    """
    if not isinstance(value, str):
        return value
    if NOT_UTF8.search(value):
        raise ValueError("is not UTF-8")
    if get_origin(field.annotation) in COLLECTIONS:
        try:
            return json.loads(value)
        except ValueError:
            if get_origin(field.annotation) is dict:
                raise ValueError(JSON_OBJECT) from None
            raise ValueError(JSON_LIST) from None
    if CONTROL.search(value):
        raise ValueError(
            "contains a line break or another control character. `echo` adds one to a secret: use "
            "`printf %s` instead"
        )
    return value


def validate_whole(
    values: Mapping[str, Any],
    validate: Callable[[Mapping[str, Any]], Any],
    check: Callable[[Any], Iterable[Fault]],
) -> Any:
    """Return the settings.

    Args:
        check: completes the settings and yields faults in their combination. It also runs if
            single values are invalid, with their defaults.

    Raises:
        ValidationError: with an error for each invalid setting.
    """
    faults: list[Fault] = []
    try:
        settings = validate(values)
    except ValidationError as error:
        faults = read_faults(error)
        wrong = {fault.name for fault in faults}
        try:
            settings = validate({name: it for name, it in values.items() if name not in wrong})
        except ValidationError:
            raise _make_error(faults) from None
    faults += _drop_consequences(check(settings), {fault.name for fault in faults})
    if faults:
        raise _make_error(faults)
    return settings


def read_faults(error: ValidationError) -> list[Fault]:
    """Return the first fault of each setting, because Pydantic reports one per type of a union."""
    faults: dict[str, Fault] = {}
    for detail in error.errors(include_url=False, include_input=False):
        name, *path = detail["loc"] or ("",)
        faults.setdefault(str(name), Fault(str(name), _describe(detail, str(name), path)))
    return list(faults.values())


def _describe(detail: Any, name: str, path: list[int | str]) -> str:
    if detail["type"] == KIND:
        return str(detail["msg"])
    message = MESSAGES.get(detail["type"]) or detail["msg"].removeprefix("Value error, ")
    path = [part for part in path if part != "[key]"]  # Pydantic's mark for the key of an object
    item = f" item {path[0] + 1}" if path and isinstance(path[0], int) else ""
    if path and isinstance(path[0], str):
        item = f" {'.'.join(map(str, path))}"
    return f"{name}{item}: {message}" if name else message


def _drop_consequences(faults: Iterable[Fault], invalid: set[str]) -> Iterable[Fault]:
    """Drop faults that mention an invalid setting, because they were found with its default."""
    return (fault for fault in faults if not invalid & set(re.findall(r"\w+", fault.text)))


def _make_error(faults: Iterable[Fault]) -> ValidationError:
    return ValidationError.from_exception_data(
        "Settings",
        [
            InitErrorDetails(
                type=PydanticCustomError(KIND, "{text}", {"text": fault.text}),
                loc=(fault.name,),
                input=None,
            )
            for fault in faults
        ],
    )
