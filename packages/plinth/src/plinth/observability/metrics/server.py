"""The port on which a worker shows its figures, to nobody but whom it is opened to.

It is served by a thread of its own: while the loop is stalled, one can still see that it is.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from errno import EADDRINUSE
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)
from prometheus_client.registry import Collector

from plinth.observability.metrics import INSTRUMENTS

logger = logging.getLogger(__name__)

MAX_WORKERS = 64


@asynccontextmanager
async def serving_metrics(host: str, port: int, own: Iterable[Collector]) -> AsyncIterator[int]:
    """The first free port from `port` on: each worker has one, and so its own figures.

    Raises:
        OSError: none is free, or the host is not of this machine.
    """
    registry = _gather(own)
    server, thread, taken = await asyncio.to_thread(_start, host, port, registry)
    logger.info("metrics are on %s port %s", host, taken)
    try:
        yield taken
    finally:
        await asyncio.to_thread(_stop, server, thread)


def _gather(own: Iterable[Collector]) -> CollectorRegistry:
    # Not described beforehand: to tell its names, a collector would have to ask the database.
    registry = CollectorRegistry(auto_describe=False)
    for collector in (*INSTRUMENTS, *own):
        registry.register(collector)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def _start(host: str, first: int, registry: CollectorRegistry) -> tuple[WSGIServer, Thread, int]:
    last = first + MAX_WORKERS - 1
    for port in range(first, last):
        try:
            return *start_http_server(port, host, registry), port
        except OSError as error:
            if error.errno != EADDRINUSE:
                raise
    return *start_http_server(last, host, registry), last


def _stop(server: WSGIServer, thread: Thread) -> None:
    server.shutdown()
    server.server_close()
    thread.join()
