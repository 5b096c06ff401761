"""The HTTP server for the metrics of a worker.

It runs in a separate thread, so that metrics are available while the event loop is blocked.
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
    """Serve metrics on the first free port from `port` on, since each worker needs its own.

    Args:
        own: additional collectors.

    Raises:
        OSError: no port is free, or the host is not an address of this machine.
    """
    registry = _make_registry(own)
    server, thread, bound_port = await asyncio.to_thread(_start, host, port, registry)
    logger.info("serving metrics on %s port %s", host, bound_port)
    try:
        yield bound_port
    finally:
        await asyncio.to_thread(_stop, server, thread)


def _make_registry(own: Iterable[Collector]) -> CollectorRegistry:
    # Without descriptions: for these, a collector would query the database.
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
