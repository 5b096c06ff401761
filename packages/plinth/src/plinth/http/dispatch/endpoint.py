"""Run a route: read the body, solve the plan, call the endpoint, send the response."""

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

from plinth.http.dispatch.known import DeclaredRoute, UnsupportedRoute, handler_variables
from plinth.http.dispatch.parameters import read_body
from plinth.http.dispatch.plan import Plan, SolveState, make_plan

JSON = (b"content-type", b"application/json")
WITHOUT_BODY = {204, 205, 304}
START: Message = {"type": "http.response.start", "status": HTTPStatus.OK, "headers": []}


@dataclass(slots=True)  # creating a frozen one takes four times as long
class JSONAnswer:
    """A JSON response, at a fraction of the cost of a Starlette `Response`."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    background: BackgroundTask | None

    async def __call__(self, _: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})
        if self.background is not None:
            await self.background()


class ResponseSender:
    """
    Attributes:
        started: the response has started, so it can no longer be replaced.
    """

    __slots__ = ("_send", "started")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def respond(self, answer: JSONAnswer | Response, request: Request) -> None:
        if type(answer) is JSONAnswer:
            self.started = True  # it starts immediately, so its messages need no check
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
        path: as declared.

    Raises:
        UnsupportedRoute: FastAPI must handle the route.
    """

    def __init__(self, declared: DeclaredRoute, app: FastAPI) -> None:
        handler = handler_variables(declared)
        if handler["dependency_overrides_provider"] is not app or not _is_plain(handler):
            raise UnsupportedRoute
        self.path: str = declared.effective.path or "/"
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
            adapter = self._field._type_adapter  # noqa: SLF001
            self._validate = adapter.validator.validate_python
            self._to_json = adapter.serializer.to_json
        self._status: int | None = handler["status_code"]
        self._scope = {"endpoint": declared.effective.endpoint, "route": declared.route}
        # FastAPI's routers set these in the scope.
        self._router_scope = (
            {"included_router": declared.included, "effective_route_context": declared.context}
            if declared.context
            else {}
        )
        self._json_options: dict[str, Any] = {
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
            scope["fastapi"].update(self._router_scope)
        else:
            scope["fastapi"] = {**self._router_scope}
        request = Request(scope, receive, send)
        sender = ResponseSender(send)
        async with AsyncExitStack() as files:
            scope["fastapi_middleware_astack"] = files
            try:
                await self._run(request, sender)
            except Exception as error:  # noqa: BLE001 - raised again unless a handler exists
                await self._handle(error, request, sender)

    async def _run(self, request: Request, sender: ResponseSender) -> None:
        """Answer the request within the exit stacks that packages expect in FastAPI's scope."""
        scope, is_answered = request.scope, False
        async with AsyncExitStack() as outer:
            scope["fastapi_inner_astack"] = outer
            async with AsyncExitStack() as inner:
                scope["fastapi_function_astack"] = inner
                answer = await self._answer(request)
            await sender.respond(answer, request)
            is_answered = True
        if not is_answered:
            raise FastAPIError(
                # FastAPI's tests expect the middle of this text.
                "no response: a route is raising an exception and a dependency with yield catches"
                " it. Add `raise` at the end of its except block"
            )

    async def _answer(self, request: Request) -> JSONAnswer | Response:
        body: Any = PydanticUndefined
        if self._has_body:
            body = await read_body(request, self._describe)
        state = SolveState(request, body)
        values = await self._plan.solve(state)
        if state.errors:
            sent = None if body is PydanticUndefined else body
            raise RequestValidationError(
                state.errors, body=sent, endpoint_ctx=self._describe(request)
            )
        result = await self._call(**values)
        if isinstance(result, Response):
            if result.background is None:
                result.background = state.background
            return result
        return self._make_answer(request, result, state)

    def _make_answer(
        self, request: Request, result: Any, state: SolveState
    ) -> JSONAnswer | Response:
        shared = state.response
        status = (shared.status_code if shared else None) or self._status or HTTPStatus.OK
        added = shared.headers.raw if shared else []
        body = self._serialize(request, result)
        if status < HTTPStatus.OK or status in WITHOUT_BODY:
            response = Response(body, status, media_type="application/json")
            response.body, response.background = b"", state.background
            response.headers.raw.extend(added)
            return response
        headers = [(b"content-length", b"%d" % len(body)), JSON, *added]
        return JSONAnswer(status, headers, body, state.background)

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
        content: bytes = self._to_json(value, **self._json_options)
        return content

    def _describe(self, request: Request) -> Any:
        """Return the location of the endpoint, for error messages."""
        context = _extract_endpoint_context(self._call)
        if self._dependant.path:
            mount = request.scope.get("root_path", "").rstrip("/")
            context["path"] = f"{request.method} {mount}{self._dependant.path}"
        return context

    async def _handle(self, error: Exception, request: Request, sender: ResponseSender) -> None:
        """Apply Starlette's exception handlers: of the route, then of `ExceptionMiddleware`."""

        async def fail(_: Scope, __: Receive, send: Send) -> None:
            if sender.started:
                await send(START)
            raise error

        async def discard(_: Message) -> None:
            pass

        scope, receive = request.scope, request.receive
        send = discard if sender.started else sender
        inner = wrap_app_handling_exceptions(fail, request)
        await wrap_app_handling_exceptions(inner, request)(scope, receive, send)


def _is_plain(handler: Mapping[str, Any]) -> bool:
    """Return whether the route is a coroutine with a JSON body, or none, and a JSON response."""
    call, response_class = handler["dependant"].call, handler["response_class"]
    return (
        bool(handler["is_coroutine"])
        and not _is_gen_callable(call)
        and not _is_async_gen_callable(call)
        and isinstance(response_class, DefaultPlaceholder)
        and response_class.value is JSONResponse
        and handler["actual_response_class"] is JSONResponse
        and not (handler["is_body_form"] or handler["is_sse_stream"] or handler["is_json_stream"])
        and handler["stream_item_field"] is None
        and handler["actual_strict_content_type"] is True
    )
