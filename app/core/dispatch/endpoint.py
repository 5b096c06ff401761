"""A route as it is run: its body read, its plan solved, its function called, its answer sent."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.datastructures import DefaultPlaceholder
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from fastapi.params import Form
from fastapi.responses import JSONResponse
from fastapi.routing import RouteContext
from pydantic_core import PydanticUndefined, ValidationError
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.core.dispatch.body import read_body
from app.core.dispatch.plan import NotPlanned, Plan, Solving, make_plan

JSON = (b"content-type", b"application/json")
WITHOUT_BODY = {204, 205, 304}


@dataclass(slots=True)  # frozen, it takes four times as long to make
class Answer:
    """What a `Response` comes to, made at a fraction of its cost."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    background: BackgroundTask | None

    async def __call__(self, _: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})
        if self.background is not None:
            await self.background()


class Endpoint:
    """
    Attributes:
        path: as it is declared.

    Raises:
        NotPlanned: FastAPI has to run it.
    """

    def __init__(self, route: RouteContext, app: FastAPI) -> None:
        if not _is_plain(route):
            raise NotPlanned
        self.path: str = route.path or "/"
        self._app = app
        self._route = route
        self._call: Callable[..., Awaitable[Any]] = route.dependant.call
        self._plan: Plan = make_plan(route.dependant, embeds_body=route._embed_body_fields)  # noqa: SLF001
        self._has_generators = self._plan.has_generators
        self._has_body = route.body_field is not None
        self._field = route.response_field
        if self._field is not None:
            shown = self._field._type_adapter  # noqa: SLF001
            self._validate, self._write = shown.validator.validate_python, shown.serializer.to_json
        self._status: int | None = route.status_code
        self._more = {
            "endpoint": route.endpoint,
            "route": route.original_route,
            "router": app.router,
        }
        self._shape: dict[str, Any] = {
            "include": route.response_model_include,
            "exclude": route.response_model_exclude,
            "by_alias": route.response_model_by_alias,
            "exclude_unset": route.response_model_exclude_unset,
            "exclude_defaults": route.response_model_exclude_defaults,
            "exclude_none": route.response_model_exclude_none,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.update(self._more)
        request = Request(scope, receive, send)
        sending = False
        try:
            if not self._has_generators:
                answer = await self._answer(request, None, None)
                sending = True
                await answer(scope, receive, send)
                return
            async with AsyncExitStack() as outer:
                async with AsyncExitStack() as inner:
                    answer = await self._answer(request, inner, outer)
                sending = True
                await answer(scope, receive, send)
        except Exception as error:
            if sending:
                raise
            answer = await self._explain(request, error)
            await answer(scope, receive, send)

    async def _answer(
        self, request: Request, inner: AsyncExitStack | None, outer: AsyncExitStack | None
    ) -> Answer | Response:
        body = await read_body(request) if self._has_body else PydanticUndefined
        solving = Solving(request, body)
        values = await self._plan.solve(solving, inner, outer)
        if solving.errors:
            raise RequestValidationError(solving.errors, body=_none_if_undefined(body))
        result = await self._call(**values)
        if isinstance(result, Response):
            if result.background is None:
                result.background = solving.background
            return result
        return self._shape_answer(result, solving)

    def _shape_answer(self, result: Any, solving: Solving) -> Answer | Response:
        shared = solving.response
        status = (shared.status_code if shared else None) or self._status or HTTPStatus.OK
        more = shared.headers.raw if shared else []
        if status in WITHOUT_BODY:
            return Answer(status, [*more], b"", solving.background)
        body = self._serialize(result)
        headers = [(b"content-length", b"%d" % len(body)), JSON, *more]
        return Answer(status, headers, body, solving.background)

    def _serialize(self, result: Any) -> bytes:
        if self._field is None:
            return bytes(JSONResponse(jsonable_encoder(result)).body)
        try:
            value = self._validate(result, from_attributes=True)
        except ValidationError:
            _, errors = self._field.validate(result, {}, loc=("response",))
            raise ResponseValidationError(errors=errors, body=result) from None
        written: bytes = self._write(value, **self._shape)
        return written

    async def _explain(self, request: Request, error: Exception) -> Response:
        """By the handler that the application has for it; of those of its kinds the closest."""
        handlers: Mapping[Any, Any] = self._app.exception_handlers
        handler = None
        if isinstance(error, HTTPException):
            handler = handlers.get(error.status_code)
        if handler is None:
            kinds = (kind for kind in type(error).__mro__ if kind is not Exception)
            handler = next((handlers[kind] for kind in kinds if kind in handlers), None)
        if handler is None:
            raise error
        if inspect.iscoroutinefunction(handler):
            answer: Response = await handler(request, error)
        else:
            answer = await run_in_threadpool(handler, request, error)
        error.__traceback__ = None  # one that is raised again would gather them
        return answer


def _is_plain(route: RouteContext) -> bool:
    """A coroutine that takes JSON, or nothing, and returns what becomes JSON, or a response."""
    call = route.dependant.call
    return (
        inspect.iscoroutinefunction(call)
        and not hasattr(call, "__wrapped__")
        and isinstance(route.response_class, DefaultPlaceholder)
        and _value(route.response_class) is JSONResponse
        and not (route.body_field and isinstance(route.body_field.field_info, Form))
        and route.stream_item_field is None
        and route.max_body_size is None
        and _value(route.strict_content_type) is True
    )


def _value(setting: Any) -> Any:
    return setting.value if isinstance(setting, DefaultPlaceholder) else setting


def _none_if_undefined(body: Any) -> Any:
    return None if body is PydanticUndefined else body
