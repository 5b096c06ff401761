"""The end in order: at SIGTERM readiness fails first, and only then does the server stop to listen.

A load balancer learns from readiness that it shall send nothing here any more, and that takes it a
moment. Requests that come in it are served, and their connections closed.
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
    """Where uvicorn runs us, whether by `plinth serve` or by itself; asked again, it ends at once.

    It then ends with 0, and not by the signal that uvicorn would raise again: it did as asked.
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
        logger.info("stopping: no new requests, please; the last ones in %s s", seconds)

    def drain(_number: int, _frame: FrameType | None) -> None:
        # The signal may have come in the midst of a line of the log, and to write another one there
        # is an error of Python's ("reentrant call"): so the loop writes it.
        loop.call_soon_threadsafe(end if draining else wait)
        draining.start()

    signal.signal(signal.SIGTERM, drain)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, server.handle_exit)


def close_while_draining(_: Iterable[tuple[bytes, bytes]]) -> Sequence[tuple[bytes, bytes]]:
    """Has clients that keep their connections make new ones, elsewhere: the server would close
    theirs just when they send the next request."""
    return [CLOSE] if draining else []
