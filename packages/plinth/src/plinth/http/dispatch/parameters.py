"""Parameters of a path, a query or a head, read without asking each time what they are.

What is unusual about them FastAPI reads: with what it finds out anew, a list's query of thirteen
parameters takes it 250 us, and these 30.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any, TypeGuard
from urllib.parse import parse_qsl

from fastapi._compat import ModelField, field_annotation_is_sequence, get_missing_field_error
from fastapi.dependencies.utils import _get_param_model, request_params_to_args
from pydantic import BaseModel, Json
from pydantic.fields import FieldInfo
from starlette.requests import Request

Found = tuple[dict[str, Any], list[Any]]
Read = Callable[[Request], Found]

SOURCES: dict[str, Callable[[Request], Any]] = {
    "path": lambda request: request.path_params,
    "query": lambda request: request.query_params,
    "header": lambda request: request.headers,
    "cookie": lambda request: request.cookies,
}


def make_reader(place: str, fields: Sequence[ModelField]) -> Read:
    """
    Args:
        place: "path", "query", "header" or "cookie".

    Returns:
        What gives the values by their arguments' names, and the errors.
    """
    source = SOURCES[place]
    usual = all(_is_usual(it.field_info) for it in fields)
    model = _get_param_model(fields[0]) if len(fields) == 1 else None
    if model is not fields[0].field_info.annotation:
        model = None  # as a choice, say with None: FastAPI decides whether it was sent
    if usual and all(map(_is_single, fields)):
        if place == "query":  # of a name that stands twice the last one, as `query_params` has it
            return lambda request: _read_singles(place, fields, dict(_parse_query(request)))
        return lambda request: _read_singles(place, fields, source(request))
    if (
        place == "query"
        and usual
        and _is_usual_model(model)
        and _get_param_model(fields[0]) is model
    ):
        return _ModelReader(fields[0], model).read
    return lambda request: request_params_to_args(fields, source(request))


def _read_singles(place: str, fields: Iterable[ModelField], given: Any) -> Found:
    values: dict[str, Any] = {}
    errors: list[Any] = []
    for field in fields:
        value = given.get(field.alias)
        loc = (place, field.alias)
        if value is not None:
            value, wrong = field.validate(value, values, loc=loc)
            errors += wrong
        elif field.field_info.is_required():
            errors.append(get_missing_field_error(loc))
        else:
            value = deepcopy(field.default)
        values[field.name] = value
    return values, errors


def _parse_query(request: Request) -> list[tuple[str, str]]:
    query = request.scope["query_string"].decode("latin-1")
    return parse_qsl(query, keep_blank_values=True) if query else []


class _ModelReader:
    """All of a query by one model, `Annotated[Model, Query()]`."""

    def __init__(self, field: ModelField, model: type[BaseModel]) -> None:
        self._field = field
        self._takes_many: Mapping[str, bool] = {
            info.alias or name: field_annotation_is_sequence(info.annotation)
            for name, info in model.model_fields.items()
        }

    def read(self, request: Request) -> Found:
        given: dict[str, Any] = {}
        others: dict[str, list[str]] = {}
        for name, value in _parse_query(request):
            takes_many = self._takes_many.get(name)
            if takes_many is None:
                others.setdefault(name, []).append(value)
            elif takes_many:
                given.setdefault(name, []).append(value)
            else:
                given[name] = value
        # What the model does not know, its `extra` decides about.
        given |= {name: it[0] if len(it) == 1 else it for name, it in others.items()}
        value, errors = self._field.validate(given, {}, loc=("query",))
        return ({}, errors) if errors else ({self._field.name: value}, [])


def _is_single(field: ModelField) -> bool:
    """Its value is one text."""
    return _get_param_model(field) is None and not field_annotation_is_sequence(
        field.field_info.annotation
    )


def _is_usual_model(kind: Any) -> TypeGuard[type[BaseModel]]:
    return (
        isinstance(kind, type)
        and issubclass(kind, BaseModel)
        and not kind.model_config.get("populate_by_name")
        and not kind.model_config.get("validate_by_name")
        and kind.model_config.get("validate_by_alias", True)
        and all(map(_is_usual, kind.model_fields.values()))
    )


def _is_usual(info: FieldInfo) -> bool:
    """One name, no JSON in it, and a default that is taken as it is."""
    return (
        info.validation_alias in (None, info.alias)
        and not info.validate_default
        and not any(type(it) is Json for it in info.metadata)
    )
