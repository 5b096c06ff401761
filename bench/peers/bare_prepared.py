"""Reference without a pool: connections that prepared the statements once.

The connections are not reset between requests; asyncpg's pool resets with a round trip. This is the
shortest known path for one query per request.
"""

import asyncio
import os
from typing import Any

import asyncpg

from bench.peers.bare import BY_ID, CONNECTIONS, WHO, make_app

idle: asyncio.LifoQueue[Any] = asyncio.LifoQueue()


async def answer(scope: Any, _: Any) -> Any:
    session_id = dict(scope["headers"])[b"authorization"].decode()
    who, by_id = statements = await idle.get()
    try:
        me = await who.fetchrow(session_id)
        what = scope["path"].rpartition("/")[2]
        return dict(me if what == "me" else await by_id.fetchrow(int(what)))
    finally:
        idle.put_nowait(statements)


async def live(receive: Any, send: Any) -> None:
    await receive()
    kept = [await asyncpg.connect(os.environ["DATABASE_URL"]) for _ in range(CONNECTIONS)]
    for connection in kept:
        idle.put_nowait([await connection.prepare(text) for text in (WHO, BY_ID)])
    await send({"type": "lifespan.startup.complete"})
    await receive()
    for connection in kept:
        await connection.close()
    await send({"type": "lifespan.shutdown.complete"})


app = make_app(answer, live)
