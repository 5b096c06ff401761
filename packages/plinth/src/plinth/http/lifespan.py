"""The start of the process and its garbage collector."""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import TypeVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plinth.config import SettingsError
from plinth.devservices import EmbeddedError

T = TypeVar("T")

# A request in progress holds about a hundred objects, which are freed without the collector. With
# the default of 700 it would scan the objects of all requests every few requests, and free nothing.
# So this exceeds the objects of `MAX_IN_FLIGHT` requests (docs/explanation/decisions/hot-path.md).
GC_THRESHOLD = 50_000


async def start_with_clear_errors(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Run the lifespan. For a refused start, the server logs the message without a traceback."""
    refused = False

    async def send_message(message: Message) -> None:
        nonlocal refused
        error = sys.exception()
        refused = message["type"] == "lifespan.startup.failed" and isinstance(
            error, (SettingsError, EmbeddedError)
        )
        await send({**message, "message": str(error)} if refused else message)

    try:
        await app(scope, receive, send_message)
    except (SettingsError, EmbeddedError):
        if not refused:
            raise


@asynccontextmanager
async def entered_in_thread(manager: AbstractContextManager[T]) -> AsyncIterator[T]:
    """Enter and exit a blocking context manager without blocking the event loop."""
    value = await asyncio.to_thread(manager.__enter__)
    try:
        yield value
    finally:
        await asyncio.to_thread(manager.__exit__, None, None, None)


@contextmanager
def tuned_gc() -> Iterator[None]:
    """Exclude all objects that exist now from collection, and collect less often."""
    default = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, *default[1:])
    try:
        yield
    finally:
        gc.set_threshold(*default)
        gc.unfreeze()
