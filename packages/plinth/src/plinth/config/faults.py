"""All faults of the settings, found in one go, so that one restart is enough to correct them."""

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


class Fault(NamedTuple):
    """
    Attributes:
        name: the setting's.
        text: a sentence that names it, and shows no value.
    """

    name: str
    text: str


def read_value(field: FieldInfo, value: Any) -> Any:
    """Return what a variable's text stands for: the value itself, or what its JSON holds.

    Raises:
        ValueError: it is no JSON, or holds what no setting can.
    """
    if not isinstance(value, str):
        return value
    if NOT_UTF8.search(value):
        raise ValueError("is not UTF-8")
    if get_origin(field.annotation) in COLLECTIONS:
        try:
            return json.loads(value)
        except ValueError:
            raise ValueError('must be a JSON list, such as ["one", "two"]') from None
    if CONTROL.search(value):
        raise ValueError(
            "contains a line break or another control character. A secret that was written by "
            "`echo` ends with one: write it with `printf %s`"
        )
    return value


def validate_whole(
    values: Mapping[str, Any],
    validate: Callable[[Mapping[str, Any]], Any],
    check: Callable[[Any], Iterable[Fault]],
) -> Any:
    """Return the settings.

    Args:
        check: completes the settings and yields what is wrong with them together. It also runs
            when single values are wrong, which are then at their defaults.

    Raises:
        ValidationError: with an error for each setting that is wrong.
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
    faults += _leave_out_consequences(check(settings), {fault.name for fault in faults})
    if faults:
        raise _make_error(faults)
    return settings


def read_faults(error: ValidationError) -> list[Fault]:
    """Return the first fault of each setting. An item that fits none of several types has an error
    for each of them."""
    faults: dict[str, Fault] = {}
    for detail in error.errors(include_url=False, include_input=False):
        name, *place = detail["loc"] or ("",)
        faults.setdefault(str(name), Fault(str(name), _describe(detail, str(name), place)))
    return list(faults.values())


def _describe(detail: Any, name: str, place: list[int | str]) -> str:
    if detail["type"] == KIND:
        return str(detail["msg"])
    message = detail["msg"].removeprefix("Value error, ")
    item = f" item {place[0] + 1}" if place and isinstance(place[0], int) else ""
    return f"{name}{item}: {message}" if name else message


def _leave_out_consequences(found: Iterable[Fault], wrong: set[str]) -> Iterable[Fault]:
    """Drop the faults that name a wrong setting: they were found with its default."""
    return (fault for fault in found if not wrong & set(re.findall(r"\w+", fault.text)))


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
