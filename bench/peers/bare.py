"""The reference: the same statements through a bare ASGI function and asyncpg's own pool, with the
prepared statements that it keeps. No token is checked and nothing is validated: who asks is the
session's id in the Authorization header. `/constant` asks nobody at all.

Pydantic's serializer writes the JSON, as it does for the application."""

import os
from typing import Any
from urllib.parse import parse_qs

import asyncpg
from pydantic_core import to_json

USER = "id, email, username, full_name, is_active, is_superuser, is_verified, created_at"
WHO = """
SELECT users.id, email, username, full_name, is_active, is_superuser, is_verified,
       users.created_at, sessions.id AS session_id,
       sessions.revoked_at IS NULL AND sessions.expires_at > now() AS session_is_live
FROM sessions JOIN users ON users.id = sessions.user_id WHERE sessions.id = $1
"""
BY_ID = f"SELECT {USER} FROM users WHERE id = $1"
SEARCH = f"""
SELECT {USER} FROM users
WHERE email || E'\\n' || username || E'\\n' || coalesce(full_name, '') ILIKE '%' || $1 || '%'
ORDER BY id LIMIT $2
"""
PAGE = f"SELECT {USER} FROM users ORDER BY id OFFSET $1 LIMIT $2"
TOTAL = "SELECT count(*) FROM users"
ROTATE = """
UPDATE sessions SET rotations = rotations + 1, last_used_at = now() WHERE id = $1
RETURNING user_id
"""

state: dict[str, Any] = {}


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await live(receive, send)
        return
    body = to_json(await answer(scope["path"], scope))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def answer(path: str, scope: Any) -> Any:
    if path == "/constant":
        return {"hello": "world"}
    session_id = dict(scope["headers"])[b"authorization"].decode()
    async with state["pool"].acquire() as connection:
        if path.endswith("/refresh"):
            return dict(await connection.fetchrow(ROTATE, session_id))
        me = await connection.fetchrow(WHO, session_id)
        what = path.removeprefix("/api/v1/users/")
        if what == "me":
            return dict(me)
        if what.isdigit():
            return dict(await connection.fetchrow(BY_ID, int(what)))
        query = {name: found[0] for name, found in parse_qs(scope["query_string"].decode()).items()}
        if what == "search":
            return list(map(dict, await connection.fetch(SEARCH, query["q"], 20)))
        items = await connection.fetch(PAGE, int(query["skip"]), 20)
        return {"items": list(map(dict, items)), "total": state["total"]}


async def live(receive: Any, send: Any) -> None:
    await receive()
    state["pool"] = await asyncpg.create_pool(os.environ["DATABASE_URL"])
    state["total"] = await state["pool"].fetchval(TOTAL)  # remembered, as the application does
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await state["pool"].close()
    await send({"type": "lifespan.shutdown.complete"})
