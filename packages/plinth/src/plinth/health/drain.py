"""Graceful shutdown: at SIGTERM, readiness fails first; the server stops listening some time later.

In between, load balancers notice that readiness fails. Requests that still arrive are served, and
their connections closed.
"""

import asyncio
import logging
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from uvicorn import Server

from plinth.health.readiness import draining

logger = logging.getLogger(__name__)

CLOSE = (b"connection", b"close")


@contextmanager
def draining_at_sigterm(seconds: float) -> Iterator[None]:
    """Drain for `seconds` at SIGTERM, in uvicorn or `plinth serve`. A second signal ends it early.

    The process then exits with 0 instead of the signal, which uvicorn would raise again.
    """
    draining.reset()
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    if not isinstance(server, Server) or not seconds:
        yield
        return
    loop = asyncio.get_running_loop()

    def end() -> None:
        server.should_exit = True

    def wait() -> None:
        loop.call_later(seconds, end)
        logger.info("stopping: readiness fails now, the server stops in %s s", seconds)

    def drain(_number: int, _frame: FrameType | None) -> None:
        # The signal may interrupt a log line, where logging raises an error ("reentrant call"). So
        # the event loop writes the line.
        loop.call_soon_threadsafe(end if draining else wait)
        draining.start()

    signal.signal(signal.SIGTERM, drain)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, server.handle_exit)


def close_while_draining(_: Iterable[tuple[bytes, bytes]]) -> Sequence[tuple[bytes, bytes]]:
    """Make clients with persistent connections open new ones, to another server.

    Otherwise the server might close a connection just when the client sends a request.
    """
    return [CLOSE] if draining else []
