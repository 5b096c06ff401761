"""The OpenAPI document: what a generated client is made of. `make test-client` has it linted."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from plinth.cli.application import load_application
from plinth.http.openapi import find_references
from plinth.resources.access import PUBLIC
from plinth.testing.operations import Operation, Schema, find_operations

EMPTY = ("204", "304")
FIRST_ERROR = 400
JSON = "application/json"
DOCUMENT = load_application().openapi()
SCHEMAS: Schema = DOCUMENT.get("components", {}).get("schemas", {})
OPERATIONS = [it for it in find_operations() if it.description]
each = pytest.mark.parametrize("operation", OPERATIONS, ids=str)

WORDS = {
    *("$ref", "title", "description", "default", "examples", "format", "const", "enum"),
    *("type", "anyOf", "oneOf", "allOf", "discriminator"),
    *("properties", "required", "additionalProperties", "propertyNames"),
    *("items", "prefixItems", "minItems", "maxItems", "uniqueItems"),
    *("minLength", "maxLength", "pattern", "contentMediaType", "writeOnly"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}


def words(schemas: Iterable[dict[str, Any]]) -> set[str]:
    found: set[str] = set()
    for schema in schemas:
        found |= set(schema)
        found |= words(schema.get("properties", {}).values())
        found |= words(schema.get("anyOf", ()))
        found |= words([schema["items"]] if "items" in schema else ())
    return found


def test_operation_ids_are_short_and_unique() -> None:
    names = Counter(operation.description["operationId"] for operation in OPERATIONS)
    assert [name for name, count in names.items() if count > 1] == [], (
        "rename the route's function: a generated client's methods would clash"
    )
    assert [name for name in names if not re.fullmatch(r"[a-z][a-z0-9_]*", name)] == [], (
        "name the route's function in lower case: it is the name of a generated client's method"
    )


def test_references_resolve_and_schemas_are_used() -> None:
    used = {reference.rpartition("/")[2] for reference in find_references(DOCUMENT)}
    assert used == set(SCHEMAS)


def test_schemas_use_json_schema_keywords() -> None:
    """Pydantic writes `ge` for `minimum` where a bound stands behind a validator."""
    assert words(SCHEMAS.values()) <= WORDS, (
        "in Annotated, put Field(ge=..., le=...) before the BeforeValidator"
    )


@each
def test_errors_document_the_format_of_their_path(operation: Operation) -> None:
    responses = operation.description["responses"]
    errors = {status: it for status, it in responses.items() if int(status) >= FIRST_ERROR}
    assert all(response["description"] for response in responses.values())
    if errors and "health" in operation.description.get("tags", ()):
        pytest.skip(f"{operation} reports figures with 503: it is no problem document")
    for status, response in errors.items():
        media_type, model = operation.error_format(int(status))
        schema = {"$ref": f"#/components/schemas/{model.__name__}"}
        assert response["content"].get(media_type) == {"schema": schema}


@each
def test_success_responses_have_a_schema(operation: Operation) -> None:
    responses = operation.description["responses"]
    good = {status: it for status, it in responses.items() if int(status) < FIRST_ERROR}
    assert good
    for status, response in good.items():
        assert ("content" in response) is (status not in EMPTY)
        if JSON in response.get("content", ()):
            assert response["content"][JSON]["schema"]
    others = {media_type for it in good.values() for media_type in it.get("content", ())} - {JSON}
    if others:
        pytest.skip(f"{operation} answers with {', '.join(sorted(others))}: it has no JSON schema")


@each
def test_possible_statuses_are_documented(operation: Operation) -> None:
    found = operation.documented
    if operation.is_private and not operation.is_declared(PUBLIC):
        assert {400, 401, 503} <= found, "an inactive user, nobody, the database away"
    if "requestBody" in operation.description:
        assert {400, 413, 422} <= found, "unreadable, too large, not valid"
    if operation.description.get("parameters"):
        assert 422 in found


@each
def test_optional_authentication_is_documented(operation: Operation) -> None:
    assert isinstance(operation.description["security"], list)


@each
def test_rate_limited_routes_document_retry_after(operation: Operation) -> None:
    if limited := operation.description["responses"].get("429"):
        assert {"Retry-After", "RateLimit", "RateLimit-Policy"} <= set(limited["headers"])
