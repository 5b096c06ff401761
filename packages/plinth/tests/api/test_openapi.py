"""Schemas of the library in the OpenAPI document. `make test-client` lints the document."""

from typing import get_origin

from pydantic import TypeAdapter

from plinth.resources import fields
from plinth.testing.contract.openapi import KEYWORDS, find_keywords
from tests.support.application import create_app


def test_field_types_use_json_schema_keywords() -> None:
    """Also a schema that no route uses yet."""
    adapters = [TypeAdapter(kind) for kind in vars(fields).values() if get_origin(kind)]
    assert adapters
    assert find_keywords(adapter.json_schema() for adapter in adapters) <= KEYWORDS


def test_fields_of_responses_are_required() -> None:
    schemas = create_app().openapi()["components"]["schemas"]
    for name in ("Problem", "ValidationProblem", "TokenPair"):
        schema = schemas[name]
        assert set(schema["required"]) == set(schema["properties"]), "a default makes it optional"


def test_optional_authentication_is_documented() -> None:
    operations = [it for path in create_app().openapi()["paths"].values() for it in path.values()]
    optional = {it["operationId"] for it in operations if it["security"][:1] == [{}]}
    assert optional == {"get_database_health", "get_cache_health", "verify_email"}
