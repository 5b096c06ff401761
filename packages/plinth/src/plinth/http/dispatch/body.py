"""A request's body: read as FastAPI reads it, and held against what a route takes."""

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

Taken = tuple[dict[str, Any], list[Any]]
"""The values by their arguments' names, and the errors."""


async def read_body(request: Request, describe: Callable[[Request], Any]) -> Any:
    """JSON where the client says it is, else bytes; `PydanticUndefined` where there is none.

    Raises:
        RequestValidationError: no JSON.
        HTTPException: something else is wrong with it.
    """
    try:
        body = await _receive(request)
        if not body:
            return PydanticUndefined
        if not _is_json(find_header(request.scope, b"content-type")):
            return body
        # A dependency that calls `request.json` gets the very object that is validated later.
        request._json = parsed = _parse(body)  # noqa: SLF001
    except json.JSONDecodeError as error:
        wrong = {
            "type": "json_invalid",
            "loc": ("body", error.pos),
            "msg": "JSON decode error",
            "input": {},
            "ctx": {"error": error.msg},
        }
        raise RequestValidationError(
            [wrong], body=error.doc, endpoint_ctx=describe(request)
        ) from error
    except HTTPException:
        raise
    except Exception as error:
        if MAX_BODY_SIZE_SCOPE_KEY in request.scope and (limit := get_body_limit_error(error)):
            raise limit from error
        detail = "There was an error parsing the body"
        raise HTTPException(HTTPStatus.BAD_REQUEST, detail) from error
    return parsed


def make_taker(
    fields: Sequence[ModelField], *, embeds: bool
) -> Callable[[Any], Taken | Awaitable[Taken]]:
    """What makes a route's arguments of a body, with what FastAPI asks each time asked once."""
    given = list(fields)
    field = given[0]
    if len(given) > 1 or embeds or _should_embed_body_fields(given) or _get_form_models(field):
        return lambda body: request_body_to_args(given, body, embed_body_fields=embeds)

    def take_whole(body: Any) -> Taken:
        value, errors = _validate_value_with_model_field(
            field=field, value=body, values={}, loc=("body",)
        )
        return {field.name: value}, errors

    return take_whole


async def _receive(request: Request) -> bytes:
    """As `request.body`, which then has it: without the generator that it reads by."""
    pieces: list[bytes] = []
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    request._body = body = b"".join(pieces)  # noqa: SLF001
    return body


def _parse(body: bytes) -> Any:
    """As `json.loads` does, whose own way takes four times as long: what the quick one refuses, it
    has to judge."""
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
