"""Error responses: problem documents (RFC 9457), or the error format of a path.

This is the only module that maps errors to status codes.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from plinth.errors import (
    Conflict,
    Invalid,
    InvalidField,
    NotFound,
    PermissionDenied,
    PlinthError,
    RateLimited,
    Rejected,
    Unauthenticated,
    Unavailable,
    VersionMismatch,
)
from plinth.http.routes import allowed_methods, route_path
from plinth.request.context import current_request
from plinth.request.conventions import DEFAULT, ErrorFormat, Failure, FieldFault
from plinth.request.headers import REFUSAL_SECONDS

T = TypeVar("T")

STATUS: dict[type[PlinthError], HTTPStatus] = {
    Rejected: HTTPStatus.BAD_REQUEST,
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    PermissionDenied: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    Conflict: HTTPStatus.CONFLICT,
    VersionMismatch: HTTPStatus.PRECONDITION_FAILED,
    Invalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    RateLimited: HTTPStatus.TOO_MANY_REQUESTS,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}
HEADERS: dict[type[PlinthError], dict[str, str]] = {
    RateLimited: {
        "Retry-After": "Seconds until a retry is allowed.",
        # draft-ietf-httpapi-ratelimit-headers-11
        "RateLimit": 'The exceeded limits, with the seconds until reset: `"login-ip";r=0;t=42`.',
        "RateLimit-Policy": 'Attempts allowed, in how many seconds: `"login-ip";q=20;w=300`.',
    },
}
WITHOUT_BODY = {204, 304}
MAX_REPORTED_ERRORS = 100  # per request; a list of invalid values has one for each
MEDIA_TYPE = "application/problem+json"
CODES = {413: "content_too_large", 503: "overloaded"}  # Python renamed the phrase of 413


class FieldError(BaseModel):
    loc: list[str | int]
    msg: str
    type: str


class Problem(BaseModel):
    """An error (RFC 9457).

    `detail` is for users, `code` for programs, and `request_id` identifies the request in the logs.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str | None


class ValidationProblem(Problem):
    errors: list[FieldError]


def problem_content(schema: str) -> dict[str, Any]:
    """Return the content of an error in the OpenAPI document.

    It refers to a schema that `openapi.py` defines. With `model`, FastAPI would create two fields
    for each error of each route.
    """
    return {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def responses(*kinds: type[PlinthError]) -> dict[int | str, dict[str, Any]]:
    """Return the errors of a route for the OpenAPI document: `responses=responses(NotFound)`."""
    return {
        find_status(kind).value: {
            "description": find_status(kind).phrase,
            "content": problem_content("Problem"),
            "headers": {
                name: {"schema": {"type": "string"}, "description": text}
                for name, text in HEADERS.get(kind, {}).items()
            },
        }
        for kind in kinds
    }


def find_status(kind: type[PlinthError]) -> HTTPStatus:
    return next(STATUS[it] for it in kind.__mro__ if it in STATUS)


def install(app: FastAPI) -> None:
    """Register the exception handlers; `ServerErrorMiddleware` handles unexpected exceptions."""
    app.add_exception_handler(PlinthError, _handle_error)
    app.add_exception_handler(HTTPException, _handle_http)
    app.add_exception_handler(RequestValidationError, _handle_validation)
    app.add_exception_handler(InvalidField, _handle_field)


def describe(error: PlinthError) -> tuple[HTTPStatus, dict[str, str]]:
    """Return the HTTP status and headers of an error."""
    return find_status(type(error)), _make_headers(error)


async def _handle_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, PlinthError)
    status, headers = describe(error)
    return problem(status, error.detail, error.code, headers, **error.members)


def _make_headers(error: PlinthError) -> dict[str, str]:
    headers = {}
    if error.code == "step_up_required":  # RFC 9470, section 3
        headers["WWW-Authenticate"] = (
            f'Bearer error="insufficient_user_authentication", max_age={error.members["max_age"]}'
        )
    if isinstance(error, Unauthenticated):
        request = current_request()
        conventions = request.conventions if request else DEFAULT
        headers["WWW-Authenticate"] = conventions.scheme  # RFC 6750, section 3
    if isinstance(error, (RateLimited, Unavailable)):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, RateLimited):
        headers["RateLimit"] = ", ".join(
            f'"{limit.name}";r=0;t={limit.wait}' for limit in error.exceeded
        )
        headers["RateLimit-Policy"] = ", ".join(
            f'"{limit.name}";q={limit.rate.limit};w={limit.rate.seconds}'
            for limit in error.exceeded
        )
    return headers


async def _handle_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return refuse_method(request.app, request.method, route_path(request.scope))
    return http_problem(error)


def http_problem(error: HTTPException) -> Response:
    status, headers = error.status_code, dict(error.headers or {})
    if status in WITHOUT_BODY:
        return Response(status_code=status, headers=headers)
    title, code = _title_and_code(status)
    detail: Any = error.detail
    if isinstance(detail, str):
        return problem(status, detail, code, headers)
    # In FastAPI `detail` may be any JSON; in RFC 9457 it is text, so use an extension member.
    return problem(status, title, code, headers, data=jsonable_encoder(detail))


def _title_and_code(status: int) -> tuple[str, str]:
    """Return the title and the code of a status, even of an unregistered one such as 499."""
    try:
        registered = HTTPStatus(status)
    except ValueError:
        return "Error", f"http_{status}"
    return registered.phrase, CODES.get(status, registered.name.lower())


async def _handle_validation(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # Leave out the input: it may be a password.
    fields = [
        {"loc": list(detail["loc"]), "msg": detail["msg"], "type": detail["type"]}
        for detail in error.errors()[:MAX_REPORTED_ERRORS]
    ]
    if fields[0]["type"] == "json_invalid":
        return _field_problem(fields, "The body is not valid JSON")
    if (fields[0]["loc"], fields[0]["type"]) == (["body"], "missing"):
        return _field_problem(fields, "The request has no body")
    return _field_problem(fields)


async def _handle_field(_: Request, error: Exception) -> Response:
    assert isinstance(error, InvalidField)
    location = [error.location, error.field]
    return _field_problem([{"loc": location, "msg": error.reason, "type": error.kind}])


def _field_problem(fields: list[dict[str, Any]], detail: str | None = None) -> Response:
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    names = ", ".join(".".join(str(part) for part in field["loc"][1:]) for field in fields[:3])
    detail = detail or (f"Not valid: {names}" if names.strip(", ") else "The request is not valid")
    return problem(status, detail, "validation_error", errors=fields)


def refuse_method(app: FastAPI, method: str, path: str) -> Response:
    """Return 405 with the allowed methods; for OPTIONS 204 (RFC 9110, section 9.3.7)."""
    status = HTTPStatus.METHOD_NOT_ALLOWED
    headers = {"Allow": ", ".join(sorted(allowed_methods(app, path)))}
    if method == "OPTIONS":
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
    return problem(status, status.phrase, status.name.lower(), headers)


def problem(
    status: int, detail: str, code: str, headers: dict[str, str] | None = None, **more: Any
) -> Response:
    request = current_request()
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        more.setdefault("errors", [])
    if request and (error_format := request.conventions.errors):
        status = error_format.statuses.get(code, status)
        errors = more.pop("errors", ())
        data = more.pop("data", more or None)
        failure = _describe(status, detail, code, request.id, errors=errors, data=data)
        return _write(error_format, failure, headers)
    body = {
        "type": "about:blank",  # RFC 9457, section 4.2.1; `code` is more specific than the status
        "title": _title_and_code(status)[0],
        "status": int(status),
        "detail": detail,
        "code": code,
        "request_id": request.id if request else None,
        **more,
    }
    # ASCII only: a lone surrogate from the client has no UTF-8 encoding.
    return Response(json.dumps(body), status, headers, media_type=MEDIA_TYPE)


def _describe(
    status: int,
    detail: str,
    code: str,
    request_id: str,
    *,
    errors: Sequence[Mapping[str, Any]] = (),
    data: Any = None,
) -> Failure:
    fields = [
        FieldFault(
            tuple(_replace_surrogates(part) for part in error["loc"]),
            _replace_surrogates(error["msg"].removeprefix("Value error, ")),
            error["type"],
        )
        for error in errors
    ]
    title = _title_and_code(status)[0]
    return Failure(int(status), title, _replace_surrogates(detail), code, request_id, fields, data)


def _replace_surrogates(part: T) -> T | str:
    """Escape lone surrogates in text from the client, since they have no UTF-8 encoding."""
    return part.encode(errors="backslashreplace").decode() if isinstance(part, str) else part


def _write(error_format: ErrorFormat, failure: Failure, headers: dict[str, str] | None) -> Response:
    body = error_format.render(failure).model_dump_json(by_alias=True)
    return Response(body, failure.status, headers, media_type=error_format.media_type)


def delayed_problem(status: int, detail: str, code: str) -> ASGIApp:
    """Return a problem document that is sent after `REFUSAL_SECONDS`."""
    response = problem(status, detail, code)

    async def send_late(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(REFUSAL_SECONDS)
        await response(scope, receive, send)

    return send_late
