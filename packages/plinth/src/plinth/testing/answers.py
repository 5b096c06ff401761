"""Checks of responses: errors, invalid fields, and conformity with the OpenAPI document."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import jsonschema_rs
from fastapi import FastAPI
from httpx2 import Response
from starlette.routing import compile_path

USER = {
    "id",
    "email",
    "username",
    "full_name",
    "is_active",
    "is_superuser",
    "is_verified",
    "created_at",
}
PUBLIC_USER = {"id", "username", "full_name"}

UNDOCUMENTED = {500}
"""Statuses that any route may return and that the OpenAPI document leaves out."""


def check_refusal(response: Response, status: int, detail: str) -> Any:
    """Check that the response is an error with this status and detail. Return its document."""
    assert (response.status_code, response.json().get("detail")) == (status, detail), response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == status
    assert response.json()["request_id"] == response.headers["x-request-id"]
    if status == 401:
        assert response.headers["www-authenticate"] == "Bearer"
    return response.json()


def check_invalid(response: Response, *locations: str) -> None:
    """Check that the response is a 422 for exactly these fields, such as `body.email`."""
    assert response.status_code == 422, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "validation_error"
    named = {".".join(map(str, field["loc"])) for field in response.json()["errors"]}
    assert named == set(locations), response.text


def check_documented(app: FastAPI) -> Callable[[Response], Awaitable[None]]:
    """Return a response hook for clients of `app`.

    It fails the test if the OpenAPI document lacks the status or the media type of a response, or
    if the JSON body does not match the schema.
    """
    document = app.openapi()
    paths: list[tuple[re.Pattern[str], str]] = [
        (compile_path(path)[0], path) for path in document["paths"]
    ]

    async def check(response: Response) -> None:
        request = response.request
        path = next((path for regex, path in paths if regex.fullmatch(request.url.path)), None)
        operation = document["paths"].get(path, {}).get(request.method.lower())
        if operation is None or response.status_code in UNDOCUMENTED:
            return
        documented = operation["responses"].get(str(response.status_code))
        assert documented, (
            f"{request.method} {path} returned {response.status_code}, which the OpenAPI document "
            "lacks: add its error to `responses=responses(...)` of the route"
        )
        await response.aread()
        _check_content(document, documented.get("content", {}), response)

    return check


def _check_content(
    document: Mapping[str, Any], content: Mapping[str, Any], response: Response
) -> None:
    media_type = response.headers.get("content-type", "").partition(";")[0]
    if not response.content or not content:
        return
    assert media_type in content, (
        f"{response.request.url} returned {media_type}, but the OpenAPI document has {[*content]} "
        f"for {response.status_code}: set `response_class=` of the route"
    )
    if media_type.endswith("json") and (schema := content[media_type].get("schema")):
        check_body(document, schema, response)


def check_body(document: Mapping[str, Any], schema: Mapping[str, Any], response: Response) -> None:
    """Check that the JSON body matches a schema of the OpenAPI document."""
    root = {**schema, "components": document["components"]}
    try:
        jsonschema_rs.validate(root, response.json())
    except jsonschema_rs.ValidationError as error:
        raise AssertionError(
            f"{response.request.method} {response.request.url} returned {response.status_code} "
            f"with a body that does not match the OpenAPI document: {error.message}"
        ) from error
