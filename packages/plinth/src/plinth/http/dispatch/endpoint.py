"""A route as it is run: its body read, its plan solved, its function called, its answer sent."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.models import _is_async_gen_callable, _is_gen_callable
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import FastAPIError, RequestValidationError, ResponseValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import _extract_endpoint_context
from pydantic_core import PydanticUndefined, ValidationError
from starlette._exception_handler import wrap_app_handling_exceptions
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from plinth.http.dispatch.body import read_body
from plinth.http.dispatch.known import Found, NotPlanned, handler_of
from plinth.http.dispatch.plan import Plan, Solving, make_plan

JSON = (b"content-type", b"application/json")
WITHOUT_BODY = {204, 205, 304}
START: Message = {"type": "http.response.start", "status": HTTPStatus.OK, "headers": []}


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


class Sending:
    """
    Attributes:
        started: the response has begun, so that no other can take its place.
    """

    __slots__ = ("_send", "started")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def respond(self, answer: Answer | Response, request: Request) -> None:
        if type(answer) is Answer:
            self.started = True  # it starts at once, and so need not be watched
            await answer(request.scope, request.receive, self._send)
        else:
            await answer(request.scope, request.receive, self)

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
        await self._send(message)


class Endpoint:
    """
    Attributes:
        path: as it is declared.

    Raises:
        NotPlanned: FastAPI has to run it.
    """

    def __init__(self, found: Found, app: FastAPI) -> None:
        handler = handler_of(found)
        if handler["dependency_overrides_provider"] is not app or not _is_plain(handler):
            raise NotPlanned
        self.path: str = found.effective.path or "/"
        self._app = app
        self._dependant = handler["dependant"]
        self._call: Callable[..., Awaitable[Any]] = self._dependant.call
        self._plan: Plan = make_plan(
            self._dependant,
            embeds_body=handler["embed_body_fields"],
            overrides=app.dependency_overrides or {},
        )
        self._has_body = handler["body_field"] is not None
        self._field = handler["response_field"]
        if self._field is not None:
            shown = self._field._type_adapter  # noqa: SLF001
            self._validate, self._write = shown.validator.validate_python, shown.serializer.to_json
        self._status: int | None = handler["status_code"]
        self._scope = {"endpoint": found.effective.endpoint, "route": found.route}
        # What FastAPI's routers note on their way.
        self._noted = (
            {"included_router": found.included, "effective_route_context": found.context}
            if found.context
            else {}
        )
        self._shape: dict[str, Any] = {
            name: handler[f"response_model_{name}"]
            for name in (
                "include", "exclude", "by_alias", "exclude_unset", "exclude_defaults",
                "exclude_none",
            )
        }  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.update(self._scope)
        if "router" not in scope:
            scope["router"] = self._app.router
        if "fastapi" in scope:
            scope["fastapi"].update(self._noted)
        else:
            scope["fastapi"] = {**self._noted}
        request = Request(scope, receive, send)
        sending = Sending(send)
        async with AsyncExitStack() as files:
            scope["fastapi_middleware_astack"] = files
            try:
                await self._run(request, sending)
            except Exception as error:  # noqa: BLE001 - what is not handled is raised again
                await self._handle(error, request, sending)

    async def _run(self, request: Request, sending: Sending) -> None:
        """Within FastAPI's stacks, which packages look for in the scope."""
        scope, is_answered = request.scope, False
        async with AsyncExitStack() as outer:
            scope["fastapi_inner_astack"] = outer
            async with AsyncExitStack() as inner:
                scope["fastapi_function_astack"] = inner
                answer = await self._answer(request)
            await sending.respond(answer, request)
            is_answered = True
        if not is_answered:
            raise FastAPIError(
                "Response not awaited: most likely the application is raising an exception and a"
                " dependency with yield catches it. Raise it again at the end of that except block"
            )

    async def _answer(self, request: Request) -> Answer | Response:
        body: Any = PydanticUndefined
        if self._has_body:
            body = await read_body(request, self._describe)
        solving = Solving(request, body)
        values = await self._plan.solve(solving)
        if solving.errors:
            sent = None if body is PydanticUndefined else body
            raise RequestValidationError(
                solving.errors, body=sent, endpoint_ctx=self._describe(request)
            )
        result = await self._call(**values)
        if isinstance(result, Response):
            if result.background is None:
                result.background = solving.background
            return result
        return self._shape_answer(request, result, solving)

    def _shape_answer(self, request: Request, result: Any, solving: Solving) -> Answer | Response:
        shared = solving.response
        status = (shared.status_code if shared else None) or self._status or HTTPStatus.OK
        more = shared.headers.raw if shared else []
        body = self._serialize(request, result)
        if status < HTTPStatus.OK or status in WITHOUT_BODY:
            response = Response(body, status, media_type="application/json")
            response.body, response.background = b"", solving.background
            response.headers.raw.extend(more)
            return response
        headers = [(b"content-length", b"%d" % len(body)), JSON, *more]
        return Answer(status, headers, body, solving.background)

    def _serialize(self, request: Request, result: Any) -> bytes:
        if self._field is None:
            return bytes(JSONResponse(jsonable_encoder(result)).body)
        try:
            value = self._validate(result, from_attributes=True)
        except ValidationError:
            _, errors = self._field.validate(result, {}, loc=("response",))
            raise ResponseValidationError(
                errors=errors, body=result, endpoint_ctx=self._describe(request)
            ) from None
        written: bytes = self._write(value, **self._shape)
        return written

    def _describe(self, request: Request) -> Any:
        """Where the route is declared, for the text of an error."""
        context = _extract_endpoint_context(self._call)
        if self._dependant.path:
            mount = request.scope.get("root_path", "").rstrip("/")
            context["path"] = f"{request.method} {mount}{self._dependant.path}"
        return context

    async def _handle(self, error: Exception, request: Request, sending: Sending) -> None:
        """By Starlette's own rules, of the route and then of its `ExceptionMiddleware`."""

        async def fail(_: Scope, __: Receive, send: Send) -> None:
            if sending.started:
                await send(START)
            raise error

        async def discard(_: Message) -> None:
            pass

        scope, receive = request.scope, request.receive
        send = discard if sending.started else sending
        within = wrap_app_handling_exceptions(fail, request)
        await wrap_app_handling_exceptions(within, request)(scope, receive, send)


def _is_plain(handler: Mapping[str, Any]) -> bool:
    """A coroutine that takes JSON, or nothing, and returns what becomes JSON, or a response."""
    call, shown = handler["dependant"].call, handler["response_class"]
    return (
        bool(handler["is_coroutine"])
        and not _is_gen_callable(call)
        and not _is_async_gen_callable(call)
        and isinstance(shown, DefaultPlaceholder)
        and shown.value is JSONResponse
        and handler["actual_response_class"] is JSONResponse
        and not (handler["is_body_form"] or handler["is_sse_stream"] or handler["is_json_stream"])
        and handler["stream_item_field"] is None
        and handler["actual_strict_content_type"] is True
    )
