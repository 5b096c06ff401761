"""Read and validate a request body as FastAPI does, at a lower cost."""

import json
from collections.abc import Awaitable, Callable, Sequence
from email.message import Message as MailMessage
from http import HTTPStatus
from typing import Any

from fastapi._body_limit import get_body_limit_error
from fastapi._compat import ModelField
from fastapi.dependencies.utils import (
    _get_form_models,
    _should_embed_body_fields,
    _validate_value_with_model_field,
    request_body_to_args,
)
from fastapi.exceptions import RequestValidationError
from pydantic_core import PydanticUndefined, from_json
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import MAX_BODY_SIZE_SCOPE_KEY
from starlette.requests import ClientDisconnect, Request

from plinth.request.headers import find_header

Parsed = tuple[dict[str, Any], list[Any]]
"""The values by argument name, and the errors."""
ParseBody = Callable[[Any], Parsed | Awaitable[Parsed]]


async def read_body(request: Request, describe: Callable[[Request], Any]) -> Any:
    """Return the parsed body if its content type is JSON, else bytes.

    Returns:
        `PydanticUndefined` for an empty body.

    Raises:
        RequestValidationError: the body is not valid JSON.
        HTTPException: the body cannot be read.
    """
    try:
        body = await _receive(request)
        if not body:
            return PydanticUndefined
        if not _is_json(find_header(request.scope, b"content-type")):
            return body
        # `request.json()` in a dependency must return the same object that is validated later.
        request._json = parsed = _parse(body)  # noqa: SLF001
    except json.JSONDecodeError as error:
        fault = {
            "type": "json_invalid",
            "loc": ("body", error.pos),
            "msg": "JSON decode error",
            "input": {},
            "ctx": {"error": error.msg},
        }
        raise RequestValidationError(
            [fault], body=error.doc, endpoint_ctx=describe(request)
        ) from error
    except HTTPException:
        raise
    except Exception as error:
        if MAX_BODY_SIZE_SCOPE_KEY in request.scope and (limit := get_body_limit_error(error)):
            raise limit from error
        detail = "There was an error parsing the body"
        raise HTTPException(HTTPStatus.BAD_REQUEST, detail) from error
    return parsed


def make_body_parser(fields: Sequence[ModelField], *, embeds: bool) -> ParseBody:
    """Return a function that validates a body and returns the arguments of the route.

    It inspects the fields once, where FastAPI inspects them for each request.
    """
    body_fields = list(fields)
    field = body_fields[0]
    if (
        len(body_fields) > 1
        or embeds
        or _should_embed_body_fields(body_fields)
        or _get_form_models(field)
    ):
        return lambda body: request_body_to_args(body_fields, body, embed_body_fields=embeds)

    def parse_whole(body: Any) -> Parsed:
        value, errors = _validate_value_with_model_field(
            field=field, value=body, values={}, loc=("body",)
        )
        return {field.name: value}, errors

    return parse_whole


async def _receive(request: Request) -> bytes:
    """Read and cache the body as `request.body` does, without its generator."""
    chunks: list[bytes] = []
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    request._body = body = b"".join(chunks)  # noqa: SLF001
    return body


def _parse(body: bytes) -> Any:
    """Parse as `json.loads` does, in a quarter of the time.

    If the fast parser rejects the body, `json.loads` decides.
    """
    try:
        return from_json(body)
    except ValueError:
        return json.loads(body)


def _is_json(content_type: str | None) -> bool:
    if content_type == "application/json":
        return True
    if not content_type:
        return False
    message = MailMessage()
    message["content-type"] = content_type
    kind, subtype = message.get_content_maintype(), message.get_content_subtype()
    return kind == "application" and (subtype == "json" or subtype.endswith("+json"))
