"""The audit log. An event is written in the transaction of the change that it records."""

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
from plinth.request.context import RequestInfo, current_request

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
    """Write an event when the transaction commits.

    Args:
        subject_id: the user who is affected.
        actor_id: the user who acts; by default the user of the current request. While a superuser
            impersonates the user, it is the superuser.
        reason: a short text. It must not contain a token or a password.
    """
    row = build_event(
        event,
        subject_id=subject_id,
        outcome=outcome,
        actor_id=actor_id,
        session_id=session_id,
        reason=reason,
    )
    # The chain serializes its writers until they commit, so write to it last.
    before_commit(db, lambda: queries.event.add(db, row))


def build_event(
    event: str,
    *,
    subject_id: int | None,
    outcome: Outcome = "success",
    actor_id: int | None = None,
    session_id: UUID | None = None,
    reason: str | None = None,
) -> dict[str, object]:
    """Build the row of an event from the arguments and the current request."""
    request = current_request()
    ip = request.client.ip if request else None
    user_agent = request.client.user_agent if request else None
    acting_id = request.acting_user_id if request else None
    reason = _name_key(request, reason)
    salt = secrets.token_bytes(SALT_BYTES)
    return {
        "event": event,
        "outcome": outcome,
        "actor_id": acting_id or actor_id or (request.user_id if request else None),
        "subject_id": subject_id,
        "session_id": session_id or (request.session_id if request else None),
        "request_id": request.id if request else None,
        "reason": reason[:MAX_REASON_LENGTH] if reason else None,
        "ip": ip,
        "user_agent": user_agent,
        "salt": salt,
        "personal": digest_personal_data(salt, ip, user_agent),
    }


def _name_key(request: RequestInfo | None, reason: str | None) -> str | None:
    """Add the API key of the request. A column of its own would change the hashes of the chain."""
    if request is None or request.api_key_id is None:
        return reason
    key = f"by API key {request.api_key_id}"
    return f"{key}: {reason}" if reason else key


def digest_personal_data(salt: bytes, ip: str | None, user_agent: str | None) -> bytes:
    return hashlib.sha256(salt + json.dumps([ip, user_agent]).encode()).digest()


@dataclass(frozen=True, slots=True)
class VerificationResult:
    """
    Attributes:
        count: the number of valid events, from the first.
        head: the hash of the last valid event, as hex. An external copy of it reveals later whether
            the end of the log was cut off.
        flaw: the error in the next event, or None if all are valid.
    """

    count: int
    head: str
    flaw: str | None


async def verify(
    db: AsyncSession,
    *,
    expect: str | None = None,
    report: Callable[[int], object] = lambda _: None,
) -> VerificationResult:
    """Verify the hash chain up to the first event that was changed, removed or moved.

    Args:
        expect: a head of an earlier verification; it must still be in the chain.
        report: called with the number of verified events after each `PROGRESS_INTERVAL`.
    """
    previous, count, is_expected_seen = b"", 0, expect is None
    erasures = _Erasures(db)
    async for event in queries.event.stream(db):
        flaw = _find_flaw(event, number=count + 1, previous=previous)
        if flaw is None and event.salt is None and not await erasures.cover(event):
            flaw = (
                f"the address and user agent of event {event.id} were erased, but no later "
                f"{queries.event.ERASED} event names its user"
            )
        if flaw:
            return VerificationResult(count, previous.hex(), flaw)
        previous, count = event.hash, count + 1
        is_expected_seen = is_expected_seen or previous.hex() == expect
        if count % PROGRESS_INTERVAL == 0:
            report(count)
    flaw = None if is_expected_seen else "the expected head is not in the chain"
    return VerificationResult(count, previous.hex(), flaw or await _check_table(db))


class _Erasures:
    """The events that record erasures.

    They are read again for an erased event that none of them covers, since an erasure may commit
    while the log is being verified.
    """

    def __init__(self, db: AsyncSession) -> None:
        self._db = db
        self._last_ids: dict[int, int] = {}

    async def cover(self, event: Event) -> bool:
        user_id = event.subject_id if event.actor_id is None else event.actor_id
        if user_id is None:
            return False
        if self._last_ids.get(user_id, 0) <= event.id:
            self._last_ids = await queries.event.find_erasures(self._db)
        return self._last_ids.get(user_id, 0) > event.id


async def _check_table(db: AsyncSession) -> str | None:
    """Return an error of the table as a whole: a missing trigger, or a wrong erasure."""
    if missing := await queries.event.find_missing_guards(db):
        return (
            f"the triggers {', '.join(missing)} of the table events are missing or disabled, so "
            "rows can be changed"
        )
    if (user_id := await queries.event.find_erased_with_account(db)) is not None:
        return f"a {queries.event.ERASED} event names user {user_id}, whose account still exists"
    return None


async def get_last_id(db: AsyncSession) -> int:
    """Return the id of the last event, which in a valid chain is the number of events."""
    return await queries.event.get_last_id(db)


def _find_flaw(event: Event, *, number: int, previous: bytes) -> str | None:
    if event.id != number:
        return f"event {number} is missing; the next event is {event.id}"
    if event.hash != hashlib.sha256(previous + _serialize(event)).digest():
        return f"event {event.id} was changed or moved: its hash does not match"
    ip = str(event.ip) if event.ip is not None else None
    # The salt is erased together with the address and the user agent.
    if (event.salt is None and (ip or event.user_agent)) or (
        event.salt is not None
        and event.personal != digest_personal_data(event.salt, ip, event.user_agent)
    ):
        return f"the address or user agent of event {event.id} was changed"
    return None


def _serialize(event: Event) -> bytes:
    """Return the same bytes as the database function `event_content`."""
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
