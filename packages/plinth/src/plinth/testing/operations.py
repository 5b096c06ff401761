"""The operations of an application, read from its routes and its OpenAPI document.

They include generated example values, so that the contract suite can call new routes as well.
"""

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
KEY_FIELDS = ("id", "slug")
"""Fields that identify a row in a path."""

_numbers = count(1)
_FIRST_DAY = date(2026, 1, 1)


@dataclass(frozen=True, slots=True)
class Operation:
    method: str
    path: str
    description: Schema
    """The operation object of the OpenAPI document; empty if the document leaves the route out."""
    schemas: Schema
    declaration: AccessDeclaration | None
    route: RouteContext
    conventions: Conventions

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def is_declared(self, audience: Audience) -> bool:
        return self.declaration is not None and self.declaration.audience is audience

    def error_format(self, status: int) -> tuple[str, type[BaseModel]]:
        """Return the media type and the model of an error with this status."""
        if errors := self.conventions.errors:
            return errors.media_type, errors.model_for(status)
        return MEDIA_TYPE, ValidationProblem if status == INVALID else Problem

    def authorization(self, token: str) -> str:
        """Return the `Authorization` header with an access token, in the scheme of the path."""
        return f"{self.conventions.scheme} {token}"

    @property
    def is_private(self) -> bool:
        return bool(self.description.get("security"))

    @property
    def writes_row(self) -> bool:
        """Whether it takes an object and returns the created or changed row."""
        takes_row = self.method != "GET" and bool(self.settable_fields)
        return takes_row and bool(set(KEY_FIELDS) & set(self.response_schema.get("properties", ())))

    @property
    def response_schema(self) -> Schema:
        """The schema of a success, without its envelope."""
        return self.unwrap_schema(self._response_body)[1]

    @property
    def _response_body(self) -> Schema:
        for status in ("200", "201"):
            response = self.description.get("responses", {}).get(status, {})
            if schema := response.get("content", {}).get(JSON, {}).get("schema"):
                return self.resolve(schema)
        return {}

    def unwrap_schema(self, schema: Schema) -> tuple[str | None, Schema]:
        """Return the key and the schema of the only object in an envelope.

        For `{"article": {...}}` that is `article` with its schema; otherwise None with the schema.
        """
        if len(properties := schema.get("properties", {})) == 1:
            ((name, inner),) = properties.items()
            if "properties" in (resolved := self.resolve(inner)):
                return name, resolved
        return None, schema

    def extract_row(self, content: Any) -> Any:
        """Return the row in the JSON of a response, without its envelope."""
        name, _ = self.unwrap_schema(self._response_body)
        return content[name] if name else content

    @property
    def returns_list(self) -> bool:
        return self.method == "GET" and bool(self._lists)

    def extract_rows(self, content: Any) -> list[Any] | None:
        """Return the array in the JSON of a response, or None if an object has several."""
        if isinstance(content, list):
            return content
        rows: list[Any] | None = content[self._lists[0]] if len(self._lists) == 1 else None
        return rows

    @property
    def _lists(self) -> list[str]:
        """The properties that are arrays; [""] if the response itself is an array."""
        if self._response_body.get("type") == "array":
            return [""]
        properties = self._response_body.get("properties", {})
        return [it for it in properties if self.resolve(properties[it]).get("type") == "array"]

    @property
    def settable_fields(self) -> set[str]:
        return set(self.unwrap_schema(self.body(JSON) or {})[1].get("properties", ()))

    @property
    def documented_statuses(self) -> set[int]:
        return {int(status) for status in self.description.get("responses", {})}

    @property
    def other_media_types(self) -> list[str]:
        """The media types of the body, if it is neither JSON nor a form."""
        content = self.description.get("requestBody", {}).get("content", {})
        return sorted(content) if content and not {JSON, FORM} & {*content} else []

    @property
    def path_parameters(self) -> list[str]:
        return list(compile_path(self.path)[2])

    def parameters(self, location: str) -> dict[str, Schema]:
        """Return the parameters in `path`, `query` or `header`, by name."""
        parameters = self.description.get("parameters", ())
        return {item["name"]: item for item in parameters if item["in"] == location}

    def body(self, media_type: str) -> Schema | None:
        content = self.description.get("requestBody", {}).get("content", {})
        return self.resolve(content[media_type]["schema"]) if media_type in content else None

    def resolve(self, schema: Schema) -> Schema:
        """Follow references, and take the first of several alternatives."""
        if "$ref" in schema:
            return self.resolve(self.schemas[schema["$ref"].rpartition("/")[2]])
        for keyword in ("anyOf", "oneOf", "allOf"):
            if keyword in schema:
                return self.resolve(schema[keyword][0])
        return schema

    def example(self, name: str, schema: Schema) -> Any:
        """Return a valid value. Generated values are unique; a password is `people.PASSWORD`."""
        examples = schema.get("examples", [])
        schema = self.resolve(schema)
        examples = examples or schema.get("examples", [])
        fixed = [schema[key] for key in ("const", "default") if key in schema]
        if choices := examples + fixed + schema.get("enum", []):
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
        """Return a valid object.

        Args:
            optional: include the properties that are not required.
        """
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
    """Return the operations of the application, in the order of its routes."""
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


def skip_rule(operation: Operation, reason: str) -> NoReturn:
    """Skip a rule that cannot check the operation. A skip is reported; a pass would hide it."""
    __tracebackhide__ = True  # pytest reports the line of the rule, not this one
    pytest.skip(f"{operation}: {reason}")


def _example_number(schema: Schema) -> int:
    if schema["type"] == "number":
        return int(max(schema.get("minimum", 0), 0))
    minimum = int(max(schema.get("minimum", 1), 1))
    return min(minimum + next(_numbers), int(schema.get("maximum", MAX_SAFE_INTEGER)))


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
            return f"{_FIRST_DAY + timedelta(days=number % 1_000_000)}T00:00:00Z"
        case "date":
            return str(_FIRST_DAY + timedelta(days=number % 1_000_000))
    text = f"Aa{number}".ljust(schema.get("minLength", 0), "z")
    return text[-schema.get("maxLength", len(text)) :]
