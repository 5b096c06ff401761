"""OpenAPI rules: the document is complete and suits client generators."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from plinth.cli.application import load_application
from plinth.http.openapi import find_references
from plinth.resources.access import PUBLIC
from plinth.testing.operations import Operation, Schema, find_operations

EMPTY = ("204", "303", "304")
FIRST_ERROR = 400
JSON = "application/json"
DOCUMENT = load_application().openapi()
SCHEMAS: Schema = DOCUMENT.get("components", {}).get("schemas", {})
OPERATIONS = [it for it in find_operations() if it.description]
each = pytest.mark.parametrize("operation", OPERATIONS, ids=str)

KEYWORDS = {
    *("$ref", "title", "description", "default", "examples", "format", "const", "enum"),
    *("type", "anyOf", "oneOf", "allOf", "discriminator"),
    *("properties", "required", "additionalProperties", "propertyNames"),
    *("items", "prefixItems", "minItems", "maxItems", "uniqueItems"),
    *("minLength", "maxLength", "pattern", "contentMediaType", "writeOnly"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}


def find_keywords(schemas: Iterable[dict[str, Any]]) -> set[str]:
    keywords: set[str] = set()
    for schema in schemas:
        keywords |= set(schema)
        keywords |= find_keywords(schema.get("properties", {}).values())
        keywords |= find_keywords(schema.get("anyOf", ()))
        keywords |= find_keywords([schema["items"]] if "items" in schema else ())
    return keywords


def test_operation_ids_are_short_and_unique() -> None:
    names = Counter(operation.description["operationId"] for operation in OPERATIONS)
    assert [name for name, count in names.items() if count > 1] == [], (
        "two routes have the same operation id, the name of a method in generated clients: rename "
        "one of the route functions"
    )
    assert [name for name in names if not re.fullmatch(r"[a-z][a-z0-9_]*", name)] == [], (
        "rename the route function in lower case: it is the name of a method in generated clients"
    )


def test_references_resolve_and_schemas_are_used() -> None:
    used = {reference.rpartition("/")[2] for reference in find_references(DOCUMENT)}
    assert used == set(SCHEMAS), "remove schemas without references; define the referenced ones"


def test_schemas_use_json_schema_keywords() -> None:
    """Pydantic writes `ge` instead of `minimum` for a bound that follows a validator."""
    unknown = find_keywords(SCHEMAS.values()) - KEYWORDS
    assert unknown == set(), (
        f"{sorted(unknown)} are no JSON Schema keywords: in Annotated, put Field(ge=..., le=...) "
        "before the BeforeValidator"
    )


@each
def test_errors_document_the_format_of_their_path(operation: Operation) -> None:
    responses = operation.description["responses"]
    errors = {status: it for status, it in responses.items() if int(status) >= FIRST_ERROR}
    assert all(response["description"] for response in responses.values()), (
        f"{operation}: give each response a description"
    )
    if errors and "health" in operation.description.get("tags", ()):
        pytest.skip(f"{operation} returns a health report with 503, not a problem document")
    for status, response in errors.items():
        media_type, model = operation.error_format(int(status))
        schema = {"$ref": f"#/components/schemas/{model.__name__}"}
        assert response["content"].get(media_type) == {"schema": schema}, (
            f"{operation} documents {status} in another format than {media_type} with "
            f"{model.__name__}: use `responses=responses(...)` of plinth.http.problems"
        )


@each
def test_success_responses_have_a_schema(operation: Operation) -> None:
    responses = operation.description["responses"]
    successes = {status: it for status, it in responses.items() if int(status) < FIRST_ERROR}
    assert successes, f"{operation} documents no success: set its `status_code`"
    for status, response in successes.items():
        assert ("content" in response) is (status not in EMPTY), (
            f"{operation} must document content for {status}, or none for {', '.join(EMPTY)}"
        )
        if JSON in response.get("content", ()):
            assert response["content"][JSON]["schema"], (
                f"{operation} has no response schema: add a return type or `response_model=`"
            )
    media_types = {it for response in successes.values() for it in response.get("content", ())}
    if others := sorted(media_types - {JSON}):
        pytest.skip(f"{operation} returns {', '.join(others)}, which has no JSON schema")


@each
def test_possible_statuses_are_documented(operation: Operation) -> None:
    documented = operation.documented_statuses
    if operation.is_private and not operation.is_declared(PUBLIC):
        assert {400, 401, 503} <= documented, (
            f"{operation} must document 400 (inactive user), 401 (not authenticated) and 503 "
            "(database unavailable)"
        )
    if "requestBody" in operation.description:
        assert {400, 413, 422} <= documented, (
            f"{operation} must document 400 (malformed), 413 (too large) and 422 (invalid) for its "
            "body"
        )
    if operation.description.get("parameters"):
        assert 422 in documented, f"{operation} must document 422 (invalid) for its parameters"


@each
def test_optional_authentication_is_documented(operation: Operation) -> None:
    assert isinstance(operation.description["security"], list), (
        f"{operation} must document `security`, an empty list if it is public"
    )


@each
def test_rate_limited_routes_document_retry_after(operation: Operation) -> None:
    if limited := operation.description["responses"].get("429"):
        assert {"Retry-After", "RateLimit", "RateLimit-Policy"} <= set(limited["headers"]), (
            f"{operation} documents 429 without its headers: use `responses=responses(RateLimited)`"
        )
