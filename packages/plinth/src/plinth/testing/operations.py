"""What an application answers to, with values that fit: read from its routes and its OpenAPI
document, so that a route added tomorrow is found as well."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from itertools import count
from typing import Any, NoReturn

import pytest
from fastapi import FastAPI
from fastapi.routing import RouteContext
from pydantic import BaseModel
from starlette.routing import compile_path

from plinth.cli.application import load_application
from plinth.http.problems import MEDIA_TYPE, Problem, ValidationProblem
from plinth.http.routes import walk_routes
from plinth.request.conventions import Conventions, find_conventions
from plinth.resources.access import AccessDeclaration, Audience, get_access
from plinth.resources.fields import MAX_SAFE_INTEGER
from plinth.testing.people import PASSWORD

Schema = Mapping[str, Any]

JSON, FORM = "application/json", "application/x-www-form-urlencoded"
INVALID = 422
KEYS = ("id", "slug")
"""By which a row is known in paths."""

_numbers = count(1)
_DAYS = date(2026, 1, 1)


@dataclass(frozen=True, slots=True)
class Operation:
    method: str
    path: str
    description: Schema
    """What the OpenAPI document says of it; nothing for a route that is kept out of it."""
    schemas: Schema
    declaration: AccessDeclaration | None
    route: RouteContext
    conventions: Conventions

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def is_declared(self, who: Audience) -> bool:
        return self.declaration is not None and self.declaration.audience is who

    def error_format(self, status: int) -> tuple[str, type[BaseModel]]:
        """The media type and the model of its errors with this status."""
        if errors := self.conventions.errors:
            return errors.media_type, errors.model_for(status)
        return MEDIA_TYPE, ValidationProblem if status == INVALID else Problem

    def authorization(self, token: str) -> str:
        """The header `Authorization` by which the path takes an access token."""
        return f"{self.conventions.scheme} {token}"

    @property
    def is_private(self) -> bool:
        return bool(self.description.get("security"))

    @property
    def writes_row(self) -> bool:
        """It takes an object, and answers with the row that it made or changed."""
        takes_row = self.method != "GET" and bool(self.settable)
        return takes_row and bool(set(KEYS) & set(self.shown.get("properties", ())))

    @property
    def shown(self) -> Schema:
        """The schema of what it answers with when all is well, without its envelope."""
        return self.open_envelope(self._answered)[1]

    @property
    def _answered(self) -> Schema:
        for status in ("200", "201"):
            answer = self.description.get("responses", {}).get(status, {})
            if schema := answer.get("content", {}).get(JSON, {}).get("schema"):
                return self.resolve(schema)
        return {}

    def open_envelope(self, schema: Schema) -> tuple[str | None, Schema]:
        """The name and the schema of what stands in an envelope, such as `{"article": {...}}`."""
        if len(properties := schema.get("properties", {})) == 1:
            ((name, inside),) = properties.items()
            if "properties" in (resolved := self.resolve(inside)):
                return name, resolved
        return None, schema

    def row_of(self, answer: Any) -> Any:
        """The row that was answered, without its envelope."""
        name, _ = self.open_envelope(self._answered)
        return answer[name] if name else answer

    @property
    def shows_list(self) -> bool:
        return self.method == "GET" and bool(self._lists)

    def rows_of(self, answer: Any) -> list[Any] | None:
        """The rows of a list that was answered: the array, or the only array in the object."""
        if isinstance(answer, list):
            return answer
        rows: list[Any] | None = answer[self._lists[0]] if len(self._lists) == 1 else None
        return rows

    @property
    def _lists(self) -> list[str]:
        """The properties that are arrays; "" for an answer that is one itself."""
        if self._answered.get("type") == "array":
            return [""]
        properties = self._answered.get("properties", {})
        return [it for it in properties if self.resolve(properties[it]).get("type") == "array"]

    @property
    def settable(self) -> set[str]:
        return set(self.open_envelope(self.body(JSON) or {})[1].get("properties", ()))

    @property
    def documented(self) -> set[int]:
        return {int(status) for status in self.description.get("responses", {})}

    @property
    def other_media_types(self) -> list[str]:
        """The media types of a body that is neither JSON nor a form."""
        content = self.description.get("requestBody", {}).get("content", {})
        return sorted(content) if content and not {JSON, FORM} & {*content} else []

    @property
    def path_parameters(self) -> list[str]:
        return list(compile_path(self.path)[2])

    def parameters(self, where: str) -> dict[str, Schema]:
        """The parameters in `query` or `header`, by name."""
        found = self.description.get("parameters", ())
        return {item["name"]: item for item in found if item["in"] == where}

    def body(self, media_type: str) -> Schema | None:
        content = self.description.get("requestBody", {}).get("content", {})
        return self.resolve(content[media_type]["schema"]) if media_type in content else None

    def resolve(self, schema: Schema) -> Schema:
        """The schema itself, behind a reference or as the first of several."""
        if "$ref" in schema:
            return self.resolve(self.schemas[schema["$ref"].rpartition("/")[2]])
        for several in ("anyOf", "oneOf", "allOf"):
            if several in schema:
                return self.resolve(schema[several][0])
        return schema

    def example(self, name: str, schema: Schema) -> Any:
        """A value that fits, other than the last one. A password is that of tests' people."""
        given = schema.get("examples", [])
        schema = self.resolve(schema)
        given = given or schema.get("examples", [])  # of the one that is chosen of several
        fixed = [schema[key] for key in ("const", "default") if key in schema]
        if choices := given + fixed + schema.get("enum", []):
            return choices[0]
        match schema.get("type"):
            case "object":
                return self.examples(schema)
            case "array":
                return [self.example(name, schema["items"])] if schema.get("minItems") else []
            case "boolean":
                return True
            case "integer" | "number":
                return _example_number(schema)
        return _example_text(name, schema)

    def is_cursor(self, schema: Schema) -> bool:
        return schema.get("format") == "cursor" or self.resolve(schema).get("format") == "cursor"

    def examples(self, schema: Schema, *, optional: bool = True) -> dict[str, Any]:
        """An object that fits."""
        required = schema.get("required", ())
        return {
            name: self.example(name, value)
            for name, value in schema.get("properties", {}).items()
            if optional or name in required
        }

    def json_example(self, schema: Schema) -> str:
        return json.dumps(self.example("", schema))


@cache
def find_operations() -> list[Operation]:
    """Return what the application answers to, in the order of its routes."""
    return list_operations(load_application())


def list_operations(app: FastAPI) -> list[Operation]:
    document = app.openapi()
    paths, schemas = document["paths"], document.get("components", {}).get("schemas", {})
    conventions = getattr(app.state, "conventions", {})
    return [
        Operation(
            method,
            route.path or "",
            paths.get(route.path_format, {}).get(method.lower(), {}),
            schemas,
            get_access(route.endpoint) if route.endpoint else None,
            route,
            find_conventions(conventions, route.path or ""),
        )
        for route in walk_routes(app)
        for method in sorted(route.methods or ())
    ]


def skip_unjudged(operation: Operation, reason: str) -> NoReturn:
    """Skip a rule that cannot judge the operation, so that it is listed and never passes unseen."""
    __tracebackhide__ = True  # so that pytest lists the rule, and not this line
    pytest.skip(f"{operation}: {reason}")


def _example_number(schema: Schema) -> int:
    if schema["type"] == "number":
        return int(max(schema.get("minimum", 0), 0))
    least = int(max(schema.get("minimum", 1), 1))
    return min(least + next(_numbers), int(schema.get("maximum", MAX_SAFE_INTEGER)))


def _example_text(name: str, schema: Schema) -> str:
    number = next(_numbers)
    if "password" in name:
        return PASSWORD
    match schema.get("format"):
        case "email":
            return f"example{number}@example.com"
        case "uuid":
            return f"00000000-0000-4000-8000-{number:012}"
        case "date-time":
            return f"{_DAYS + timedelta(days=number % 1_000_000)}T00:00:00Z"
        case "date":
            return str(_DAYS + timedelta(days=number % 1_000_000))
    text = f"Aa{number}".ljust(schema.get("minLength", 0), "z")
    return text[-schema.get("maxLength", len(text)) :]
