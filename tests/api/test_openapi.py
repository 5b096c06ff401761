"""The OpenAPI document: what a generated client is made of. `make test-client` has it linted."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, get_origin

import pytest
from pydantic import TypeAdapter

from plinth.http.problems import MEDIA_TYPE
from plinth.resources import fields
from tests.support.application import create_app

EMPTY = ("204", "304")
FIRST_ERROR = 400
DOCUMENT = create_app().openapi()
OPERATIONS = [
    (f"{method.upper()} {path}", operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]

WORDS = {
    *("$ref", "title", "description", "default", "examples", "format", "const", "enum"),
    *("type", "anyOf", "oneOf", "allOf", "discriminator"),
    *("properties", "required", "additionalProperties", "propertyNames"),
    *("items", "prefixItems", "minItems", "maxItems", "uniqueItems"),
    *("minLength", "maxLength", "pattern", "contentMediaType", "writeOnly"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}

each = pytest.mark.parametrize(
    "operation", [operation for _, operation in OPERATIONS], ids=[name for name, _ in OPERATIONS]
)


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(reference := part.get("$ref"), str):
            yield reference
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def words(schemas: Iterable[dict[str, Any]]) -> set[str]:
    found: set[str] = set()
    for schema in schemas:
        found |= set(schema)
        found |= words(schema.get("properties", {}).values())
        found |= words(schema.get("anyOf", ()))
        found |= words([schema["items"]] if "items" in schema else ())
    return found


def statuses(operation: dict[str, Any]) -> set[int]:
    return {int(status) for status in operation["responses"]}


def test_each_operation_has_a_short_name_of_its_own() -> None:
    names = Counter(operation["operationId"] for _, operation in OPERATIONS)
    assert [name for name, count in names.items() if count > 1] == [], (
        "rename the route's function: a generated client's methods would clash"
    )
    assert all(re.fullmatch("[a-z_]+", name) for name in names)


def test_each_reference_leads_somewhere_and_each_schema_is_used() -> None:
    used = {reference.rpartition("/")[2] for reference in references(DOCUMENT)}
    assert used == set(DOCUMENT["components"]["schemas"])


def test_a_schema_is_written_in_words_of_json_schema() -> None:
    """Pydantic writes `ge` for `minimum` where a bound stands behind a validator."""
    adapters = [TypeAdapter(kind) for kind in vars(fields).values() if get_origin(kind)]
    assert adapters
    of_fields = [adapter.json_schema() for adapter in adapters]
    assert words([*of_fields, *DOCUMENT["components"]["schemas"].values()]) <= WORDS, (
        "in Annotated, put Field(ge=..., le=...) before the BeforeValidator"
    )


@each
def test_an_error_is_a_problem_document(operation: dict[str, Any]) -> None:
    for status, response in operation["responses"].items():
        assert response["description"]
        if int(status) < FIRST_ERROR or "health" in operation["tags"]:
            continue
        (content,) = response["content"].items()
        schema = "ValidationProblem" if status == "422" else "Problem"
        assert content == (
            MEDIA_TYPE,
            {"schema": {"$ref": f"#/components/schemas/{schema}"}},
        )


@each
def test_a_success_says_what_it_holds(operation: dict[str, Any]) -> None:
    good = [status for status in operation["responses"] if int(status) < FIRST_ERROR]
    assert good
    for status in good:
        response = operation["responses"][status]
        assert ("content" in response) is (status not in EMPTY)
        if status not in EMPTY:
            assert response["content"]["application/json"]["schema"]


@each
def test_what_each_kind_of_route_can_answer_is_said(operation: dict[str, Any]) -> None:
    found = statuses(operation)
    is_open_to_guests = "health" in operation["tags"] or "verify_email" in operation["operationId"]
    if operation.get("security") and not is_open_to_guests:
        assert {400, 401, 503} <= found, "an inactive user, nobody, the database away"
    if "requestBody" in operation:
        assert {400, 413, 422} <= found, "unreadable, too large, not valid"
    if operation.get("parameters"):
        assert 422 in found


@each
def test_who_may_is_said_of_an_open_route_too(operation: dict[str, Any]) -> None:
    assert isinstance(operation["security"], list)


def test_what_is_always_sent_need_not_be_asked_for_by_a_client() -> None:
    for name in ("Problem", "ValidationProblem", "TokenPair"):
        schema = DOCUMENT["components"]["schemas"][name]
        assert set(schema["required"]) == set(schema["properties"]), "a default makes it optional"


@each
def test_a_limited_route_says_when_to_try_again(operation: dict[str, Any]) -> None:
    if limited := operation["responses"].get("429"):
        assert {"Retry-After", "RateLimit", "RateLimit-Policy"} <= set(limited["headers"])
