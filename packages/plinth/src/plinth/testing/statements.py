from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from plinth.db.database import Database


async def nothing(*_: Any, **__: Any) -> Sequence[Any]:
    raise AssertionError


@contextmanager
def recorded_statements(database: Database) -> Iterator[list[str]]:
    """The SQL that is sent to the database within the block: by the engine, and by the lane beside
    it, which the engine's events do not see."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    # Where the fast paths are off, there is none beside the engine.
    lane: Any = database._executor  # noqa: SLF001
    fetch: Callable[..., Awaitable[Sequence[Any]]] = getattr(lane, "_fetch", nothing)

    async def note_and_fetch(sql: str, values: Sequence[Any], **more: Any) -> Sequence[Any]:
        sent.append(sql)
        return await fetch(sql, values, **more)

    engine = database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lane, "_fetch", note_and_fetch, raising=False)
            yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)
