"""The audit log: what happened, in the same transaction as what it speaks of."""

import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.models import Event
from plinth.db.database import before_commit
from plinth.request.context import current_request

Outcome = Literal["success", "failure"]
SALT_BYTES = 16
MAX_REASON_LENGTH = 500
PROGRESS_INTERVAL = 1000


def record(
    db: AsyncSession,
    event: str,
    *,
    subject_id: int | None,
    outcome: Outcome = "success",
    actor_id: int | None = None,
    session_id: UUID | None = None,
    reason: str | None = None,
) -> None:
    """Have a row written when, and only when, the transaction is committed.

    Args:
        subject_id: whom it happened to.
        actor_id: who did it; the one who asks where it is left out.
        reason: never a token or a password.
    """
    row = describe(
        event,
        subject_id=subject_id,
        outcome=outcome,
        actor_id=actor_id,
        session_id=session_id,
        reason=reason,
    )
    # Last of all: the chain makes its writers wait for each other until they commit.
    before_commit(db, lambda: queries.event.add(db, row))


def describe(
    event: str,
    *,
    subject_id: int | None,
    outcome: Outcome = "success",
    actor_id: int | None = None,
    session_id: UUID | None = None,
    reason: str | None = None,
) -> dict[str, object]:
    """The row as it is to be written: by `record`, or by a statement that is a whole transaction
    (`queries.event.adding`)."""
    request = current_request()
    ip = request.client.ip if request else None
    user_agent = request.client.user_agent if request else None
    salt = secrets.token_bytes(SALT_BYTES)
    return {
        "event": event,
        "outcome": outcome,
        "actor_id": actor_id or (request.user_id if request else None),
        "subject_id": subject_id,
        "session_id": session_id or (request.session_id if request else None),
        "request_id": request.id if request else None,
        "reason": reason[:MAX_REASON_LENGTH] if reason else None,
        "ip": ip,
        "user_agent": user_agent,
        "salt": salt,
        "personal": digest_traces(salt, ip, user_agent),
    }


def digest_traces(salt: bytes, ip: str | None, user_agent: str | None) -> bytes:
    return hashlib.sha256(salt + json.dumps([ip, user_agent]).encode()).digest()


@dataclass(frozen=True, slots=True)
class Verified:
    """
    Attributes:
        count: how many events hold together, from the first.
        head: the last one's hash. Kept elsewhere, it tells later whether the end was cut off.
        flaw: what is wrong with the event after them; None where all are sound.
    """

    count: int
    head: str
    flaw: str | None


async def verify(
    db: AsyncSession, *, expect: str | None = None, tell: Callable[[int], object] = lambda _: None
) -> Verified:
    """Go through the chain, and say where it breaks: a row changed, missing, or out of order.

    Args:
        expect: a head that was seen before; it must still be in the chain.
        tell: is called now and then with how many events held so far.
    """
    before, count, seen = b"", 0, expect is None
    erasures = _Erasures(db)
    async for event in queries.event.stream(db):
        flaw = _find_flaw(event, number=count + 1, before=before)
        if flaw is None and event.salt is None and not await erasures.cover(event):
            flaw = (
                f"the address and user agent of event {event.id} were emptied, and no later event "
                f"{queries.event.ERASED} explains it"
            )
        if flaw:
            return Verified(count, before.hex(), flaw)
        before, count = event.hash, count + 1
        seen = seen or before.hex() == expect
        if count % PROGRESS_INTERVAL == 0:
            tell(count)
    flaw = None if seen else "the expected head is not in the chain"
    return Verified(count, before.hex(), flaw or await _find_wrong_around(db))


class _Erasures:
    """The events that say whose traces were erased.

    They are read again for an emptied event that none of them covers: an erasure may be committed
    while the log is being read.
    """

    def __init__(self, db: AsyncSession) -> None:
        self._db = db
        self._last: dict[int, int] = {}

    async def cover(self, event: Event) -> bool:
        person = event.subject_id if event.actor_id is None else event.actor_id
        if person is None:
            return False
        if self._last.get(person, 0) <= event.id:
            self._last = await queries.event.find_erasures(self._db)
        return self._last.get(person, 0) > event.id


async def _find_wrong_around(db: AsyncSession) -> str | None:
    """Return what is wrong beside the rows themselves."""
    if missing := await queries.event.find_missing_guards(db):
        return (
            f"the triggers {', '.join(missing)} of the table events are missing or disabled, so "
            "that rows can be changed"
        )
    if (user_id := await queries.event.find_erased_but_there(db)) is not None:
        return f"an event {queries.event.ERASED} names the user {user_id}, whose account exists"
    return None


async def find_newest(db: AsyncSession) -> int:
    """The newest event's number; in a chain that holds, how many there are."""
    return await queries.event.find_newest(db)


def _find_flaw(event: Event, *, number: int, before: bytes) -> str | None:
    if event.id != number:
        return f"event {number} is missing: {event.id} stands in its place"
    if event.hash != hashlib.sha256(before + _content(event)).digest():
        return f"event {event.id} is not what was written, or not in its place"
    ip = str(event.ip) if event.ip is not None else None
    # Without a salt they were erased, and nothing has come in their place.
    if (event.salt is None and (ip or event.user_agent)) or (
        event.salt is not None and event.personal != digest_traces(event.salt, ip, event.user_agent)
    ):
        return f"the address or user agent of event {event.id} is not what was written"
    return None


def _content(event: Event) -> bytes:
    """As the function `event_content` in the database has it."""
    content: list[Any] = [
        event.id,
        event.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        event.event,
        event.outcome,
        event.actor_id,
        event.subject_id,
        str(event.session_id) if event.session_id else None,
        event.request_id,
        event.reason,
        event.personal.hex(),
    ]
    return json.dumps(content, ensure_ascii=False).encode()
