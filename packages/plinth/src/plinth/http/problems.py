"""Errors on their way out: problem documents (RFC 9457), or the format of the path they came to.
The only place that says HTTP numbers."""

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
        "Retry-After": "Seconds after which there is room again.",
        # draft-ietf-httpapi-ratelimit-headers-11
        "RateLimit": 'What is left of the limits that are used up: `"login-ip";r=0;t=42`.',
        "RateLimit-Policy": 'How many they allow, in how many seconds: `"login-ip";q=20;w=300`.',
    },
}
WITHOUT_BODY = {204, 304}
MAX_REPORTED_ERRORS = 100  # of one request; a list of wrong values has one for each
MEDIA_TYPE = "application/problem+json"
CODES = {413: "content_too_large", 503: "overloaded"}  # the former was renamed in the library


class FieldError(BaseModel):
    loc: list[str | int]
    msg: str
    type: str


class Problem(BaseModel):
    """RFC 9457. `detail` is for people, `code` for programs; `request_id` finds it in the logs."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str | None


class ValidationProblem(Problem):
    errors: list[FieldError]


def problem_content(schema: str) -> dict[str, Any]:
    """An error's content in the OpenAPI document, by the name that `openapi.py` puts its schema
    there by. From a `model` FastAPI makes a field for each error of each route, twice."""
    return {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def responses(*kinds: type[PlinthError]) -> dict[int | str, dict[str, Any]]:
    """How a route's refusals stand in the OpenAPI document: `responses=responses(NotFound)`."""
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
    """Have `app` answer every error as a problem document; `http/middleware.py` has the rest."""
    app.add_exception_handler(PlinthError, _handle_meaning)
    app.add_exception_handler(HTTPException, _handle_http)
    app.add_exception_handler(RequestValidationError, _handle_validation)
    app.add_exception_handler(InvalidField, _handle_field)


def describe(error: PlinthError) -> tuple[HTTPStatus, dict[str, str]]:
    """The status and the headers that an error's meaning has in HTTP."""
    return find_status(type(error)), _make_headers(error)


async def _handle_meaning(_: Request, error: Exception) -> Response:
    assert isinstance(error, PlinthError)
    status, headers = describe(error)
    return problem(status, error.detail, error.code, headers)


def _make_headers(error: PlinthError) -> dict[str, str]:
    headers = {}
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
    title, code = _name(status)
    detail: Any = error.detail
    if isinstance(detail, str):
        return problem(status, detail, code, headers)
    # FastAPI allows any JSON there; RFC 9457 has text alone, and room for members of one's own.
    return problem(status, title, code, headers, data=jsonable_encoder(detail))


def _name(status: int) -> tuple[str, str]:
    """The title and the code of a status, also of one that is not registered, such as 499."""
    try:
        known = HTTPStatus(status)
    except ValueError:
        return "Error", f"http_{status}"
    return known.phrase, CODES.get(status, known.name.lower())


async def _handle_validation(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # What was sent is not sent back: it may be a password.
    fields = [
        {"loc": list(detail["loc"]), "msg": detail["msg"], "type": detail["type"]}
        for detail in error.errors()[:MAX_REPORTED_ERRORS]
    ]
    if fields[0]["type"] == "json_invalid":
        return _tell_fields(fields, "The body is not valid JSON")
    return _tell_fields(fields)


async def _handle_field(_: Request, error: Exception) -> Response:
    assert isinstance(error, InvalidField)
    place = [error.location, error.field]
    return _tell_fields([{"loc": place, "msg": error.reason, "type": error.kind}])


def _tell_fields(fields: list[dict[str, Any]], detail: str | None = None) -> Response:
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    where = ", ".join(".".join(str(part) for part in field["loc"][1:]) for field in fields[:3])
    detail = detail or (f"Not valid: {where}" if where.strip(", ") else "The request is not valid")
    return problem(status, detail, "validation_error", errors=fields)


def refuse_method(app: FastAPI, method: str, path: str) -> Response:
    """What is allowed there instead; to OPTIONS that is the answer (RFC 9110, 9.3.7)."""
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
        failure = _describe(status, detail, code, request.id, **more)
        return _write(error_format, failure, headers)
    body = {
        "type": "about:blank",  # RFC 9457, 4.2.1: no more than the status says; `code` is the rest
        "title": _name(status)[0],
        "status": int(status),
        "detail": detail,
        "code": code,
        "request_id": request.id if request else None,
        **more,
    }
    # ASCII only, so that whatever text came in can go out: a lone surrogate has no UTF-8.
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
    title = _name(status)[0]
    return Failure(int(status), title, _replace_surrogates(detail), code, request_id, fields, data)


def _replace_surrogates(part: T) -> T | str:
    """In text that the client sent: a lone surrogate has no UTF-8."""
    return part.encode(errors="backslashreplace").decode() if isinstance(part, str) else part


def _write(error_format: ErrorFormat, failure: Failure, headers: dict[str, str] | None) -> Response:
    body = error_format.render(failure).model_dump_json(by_alias=True)
    return Response(body, failure.status, headers, media_type=error_format.media_type)


def delayed_problem(status: int, detail: str, code: str) -> ASGIApp:
    """A problem document that is sent `REFUSAL_SECONDS` later."""
    answer = problem(status, detail, code)

    async def send_late(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(REFUSAL_SECONDS)
        await answer(scope, receive, send)

    return send_late
