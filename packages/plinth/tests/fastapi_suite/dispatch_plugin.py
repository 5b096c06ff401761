"""pytest plugin: give every FastAPI application of a run our `Dispatch`, and nothing else of ours.

Loaded by `run.py` into FastAPI's own test suite, with this checkout on PYTHONPATH. It stands where
it does in Plinth, innermost. `SUITE_DISPATCH=off` loads the plugin and changes nothing, for the
comparison; `SUITE_COUNTS` names the file that each process appends its counts to.
"""

import json
import os
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import fastapi
import pytest
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from plinth.http.dispatch import Dispatch
from plinth.http.dispatch.endpoint import Endpoint

counts: Counter[str] = Counter()


def kind_of(scope: Scope) -> str:
    return "with overrides" if scope["app"].dependency_overrides else "without overrides"


class CountingDispatch(Dispatch):
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http":
            counts[f"requests {kind_of(scope)}"] += 1
        return super().__call__(scope, receive, send)


class CountingEndpoint:
    call = Endpoint.__call__

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        counts[f"fast {kind_of(scope)}"] += 1
        await CountingEndpoint.call(self, scope, receive, send)  # type: ignore[arg-type]


def install() -> None:
    build: Any = fastapi.FastAPI.build_middleware_stack

    def build_middleware_stack(self: fastapi.FastAPI) -> ASGIApp:
        before = self.user_middleware
        self.user_middleware = [*before, Middleware(CountingDispatch)]
        try:
            stack: ASGIApp = build(self)
        finally:
            self.user_middleware = before
        return stack

    Endpoint.__call__ = CountingEndpoint.__call__  # type: ignore[method-assign,assignment]
    fastapi.FastAPI.build_middleware_stack = build_middleware_stack  # type: ignore[method-assign]


if os.environ.get("SUITE_DISPATCH") != "off":
    install()


def pytest_sessionfinish(session: pytest.Session) -> None:
    if path := os.environ.get("SUITE_COUNTS"):
        with Path(path).open("a") as file:
            file.write(json.dumps(counts) + "\n")
