"""Cost of the log line and of the metrics of a request, with an empty application.

python -m bench.observed
"""

import asyncio
import logging
import os
from pathlib import Path
from time import perf_counter
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plinth.config import settings
from plinth.http.request_metrics import MetricsMiddleware
from plinth.observability import logs
from plinth.request.client import Client
from plinth.request.context import begin_request

TIMES, ROUNDS = 10_000, 5
SCOPE = {"type": "http", "method": "GET"}


async def empty(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def main() -> None:
    settings.LOG_FORMAT = "json"
    logs.set_up()
    request = begin_request(None, Client("192.0.2.1", None))
    request.user_id, request.session_id = 1, uuid4()
    request.find_route = lambda: "/api/v1/users/{user_id}"
    bare = await measure(empty)
    with Path(os.devnull).open("w") as nowhere:  # noqa: ASYNC230 - no other task runs
        for handler in logging.root.handlers:
            if isinstance(handler, logging.StreamHandler):
                handler.setStream(nowhere)
        both = await measure(MetricsMiddleware(empty))
    logging.getLogger(logs.REQUESTS).setLevel("ERROR")
    figures = await measure(MetricsMiddleware(empty))
    print(f"metrics {figures - bare:.1f} us, log line {both - figures:.1f} us per request")


async def measure(app: ASGIApp) -> float:
    """Return the microseconds per request of the best round, since the machine is shared."""
    rounds = []
    for _ in range(ROUNDS):
        began = perf_counter()
        for _ in range(TIMES):
            await app(SCOPE, receive_nothing, drop)
        rounds.append((perf_counter() - began) / TIMES * 1e6)
    return min(rounds)


async def receive_nothing() -> Message:
    return {"type": "http.disconnect"}


async def drop(_: Message) -> None:
    pass


if __name__ == "__main__":
    asyncio.run(main())
