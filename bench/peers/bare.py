"""Reference: the same statements in a plain ASGI function with asyncpg's pool.

The pool caches prepared statements. Tokens and input are not validated: the Authorization header is
the id of the session. The refresh token is the same id. `/constant` does not use the database.

The pool has the maximum size of ours. Pydantic's serializer writes the JSON, as in the application.
"""

import os
import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

import asyncpg
from pydantic_core import from_json, to_json

CONNECTIONS = 15
SIZE = 20
USER = "id, email, username, full_name, is_active, is_superuser, is_verified, created_at"
NOTE = "id, owner_id, title, body, due, priority, version, created_at, updated_at"
WHO = """
SELECT users.id, email, username, full_name, is_active, is_superuser, is_verified,
       users.created_at, sessions.id AS session_id,
       sessions.revoked_at IS NULL AND sessions.expires_at > now()
           AND sessions.session_epoch = users.session_epoch AS session_is_live
FROM sessions JOIN users ON users.id = sessions.user_id WHERE sessions.id = $1
"""
BY_ID = f"SELECT {USER} FROM users WHERE id = $1"
SEARCH = f"""
SELECT {USER} FROM users
WHERE email || E'\\n' || username || E'\\n' || coalesce(full_name, '') ILIKE $1 ESCAPE '/'
    AND CASE WHEN $1 ~ '[[:alnum:]]{{3}}' THEN id + 0 = id ELSE true END
ORDER BY id LIMIT $2 OFFSET $3
"""
# One more row than the page shows whether a next page exists.
PAGE = f"SELECT {USER} FROM users ORDER BY id LIMIT {SIZE + 1}"
PAGE_FROM = f"SELECT {USER} FROM users ORDER BY id LIMIT $1 OFFSET $2"
PAGE_AFTER = f"""
SELECT {USER} FROM users WHERE (created_at, id) > ($1, $2) ORDER BY created_at, id LIMIT {SIZE + 1}
"""
TOTAL = "SELECT count(*) FROM users"
ROTATE = """
UPDATE sessions SET rotations = rotations + 1, last_used_at = now() WHERE id = $1
RETURNING user_id
"""
MAKE_NOTE = f"""
INSERT INTO notes (owner_id, title, body, priority) VALUES ($1, $2, $3, $4) RETURNING {NOTE}
"""
NOTE_BY_ID = f"SELECT {NOTE} FROM notes WHERE id = $1"

Answer = Callable[[Any, Any], Awaitable[Any]]
state: dict[str, Any] = {}


async def answer(scope: Any, receive: Any) -> Any:
    path = scope["path"]
    if path == "/constant":
        return {"hello": "world"}
    if path.endswith("/refresh"):
        return await answer_refresh(from_json((await receive())["body"])["refresh_token"])
    session_id = dict(scope["headers"])[b"authorization"].decode()
    async with state["pool"].acquire() as connection:
        me = await connection.fetchrow(WHO, session_id)
        _, _, _, noun, what = path.split("/")
        if noun == "notes":
            return await answer_note(connection, me, what, receive)
        if what == "me" or what.isdigit():
            return dict(me if what == "me" else await connection.fetchrow(BY_ID, int(what)))
        return await answer_several(connection, what, scope["query_string"])


async def answer_refresh(session_id: str) -> Any:
    async with state["pool"].acquire() as connection:
        return {**await connection.fetchrow(ROTATE, session_id), "refresh_token": session_id}


async def answer_several(connection: Any, what: str, query_string: bytes) -> Any:
    query = {name: found[0] for name, found in parse_qs(query_string.decode()).items()}
    if what == "search":
        pattern = "%" + re.sub("[/%_]", r"/\g<0>", query["q"]) + "%"
        return list(map(dict, await connection.fetch(SEARCH, pattern, SIZE, 0)))
    if "after" in query:
        created_at, _, number = query["after"].partition(",")
        edge = datetime.fromisoformat(created_at), int(number)
        return {"items": list(map(dict, (await connection.fetch(PAGE_AFTER, *edge))[:SIZE]))}
    skip = int(query["skip"])
    rows = await connection.fetch(*((PAGE_FROM, SIZE + 1, skip) if skip else (PAGE,)))
    return {"items": list(map(dict, rows[:SIZE])), "total": state["total"]}


async def answer_note(connection: Any, me: Any, what: str, receive: Any) -> Any:
    if what:
        return dict(await connection.fetchrow(NOTE_BY_ID, int(what)))
    note = from_json((await receive())["body"])
    values = note["title"], note["body"], note["priority"]
    return dict(await connection.fetchrow(MAKE_NOTE, me["id"], *values))


async def live(receive: Any, send: Any) -> None:
    await receive()
    url = os.environ["DATABASE_URL"]
    state["pool"] = await asyncpg.create_pool(url, min_size=CONNECTIONS, max_size=CONNECTIONS)
    state["total"] = await state["pool"].fetchval(TOTAL)  # cached, as in the application
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await state["pool"].close()
    await send({"type": "lifespan.shutdown.complete"})


def make_app(answer: Answer, live: Callable[[Any, Any], Awaitable[None]]) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await live(receive, send)
            return
        body = to_json(await answer(scope, receive))
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


app = make_app(answer, live)
