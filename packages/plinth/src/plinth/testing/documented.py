"""Holds every answer of the suite against the OpenAPI document."""

import re
from collections.abc import Awaitable, Callable

from fastapi import FastAPI
from httpx2 import Response
from starlette.routing import compile_path

Check = Callable[[Response], Awaitable[None]]

# Our own fault: it can befall any route, and no client can count on when.
ANYWHERE = {500}


def check_documented(app: FastAPI) -> Check:
    """A hook for a client of `app`: a status that its route does not document fails the test."""
    document = app.openapi()
    paths: list[tuple[re.Pattern[str], str]] = [
        (compile_path(path)[0], path) for path in document["paths"]
    ]

    async def check(response: Response) -> None:
        request = response.request
        path = next((path for shape, path in paths if shape.fullmatch(request.url.path)), None)
        operation = document["paths"].get(path, {}).get(request.method.lower())
        if operation is not None and response.status_code not in ANYWHERE:
            assert str(response.status_code) in operation["responses"], (
                f"{request.method} {path} answered {response.status_code}, which the OpenAPI"
                " document does not know: add it to the route's `responses=`"
            )

    return check
