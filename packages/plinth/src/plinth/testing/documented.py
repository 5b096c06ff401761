"""Holds every answer of the suite against the OpenAPI document."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import jsonschema_rs
from fastapi import FastAPI
from httpx2 import Response
from starlette.routing import compile_path

Check = Callable[[Response], Awaitable[None]]

# Our own fault: it can befall any route, and no client can count on when.
ANYWHERE = {500}


def check_documented(app: FastAPI) -> Check:
    """Return a hook for a client of `app`. A response fails the test when the OpenAPI document does
    not name its status or its media type, or when its JSON body does not fit the schema there."""
    document = app.openapi()
    paths: list[tuple[re.Pattern[str], str]] = [
        (compile_path(path)[0], path) for path in document["paths"]
    ]

    async def check(response: Response) -> None:
        request = response.request
        path = next((path for shape, path in paths if shape.fullmatch(request.url.path)), None)
        operation = document["paths"].get(path, {}).get(request.method.lower())
        if operation is None or response.status_code in ANYWHERE:
            return
        documented = operation["responses"].get(str(response.status_code))
        assert documented, (
            f"{request.method} {path} answered {response.status_code}, which the OpenAPI"
            " document does not know: add it to the route's `responses=`"
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
        f"{response.request.url} answered {media_type}, and the OpenAPI document names"
        f" {[*content]} for {response.status_code}"
    )
    if media_type.endswith("json") and (schema := content[media_type].get("schema")):
        check_body(document, schema, response)


def check_body(document: Mapping[str, Any], schema: Mapping[str, Any], response: Response) -> None:
    """Fail when a JSON body does not fit a schema of the OpenAPI document."""
    root = {**schema, "components": document["components"]}
    try:
        jsonschema_rs.validate(root, response.json())
    except jsonschema_rs.ValidationError as error:
        raise AssertionError(
            f"{response.request.method} {response.request.url} answered {response.status_code} with"
            f" a body that is not what the OpenAPI document says: {error.message}"
        ) from error
