"""Verify the hash chain of the audit log."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.models import Event, EventCheckpoint
from plinth.accounts.services.audit import checkpoints
from plinth.accounts.services.audit.recording import digest_personal_data

PROGRESS_INTERVAL = 1000


@dataclass(frozen=True, slots=True)
class DeletedPart:
    """The events from 1 to `last_id`, which retention deleted at `deleted_at`."""

    last_id: int
    deleted_at: datetime


@dataclass(frozen=True, slots=True)
class VerificationResult:
    """
    Attributes:
        count: the number of valid events, from the first that retention has not deleted.
        head: the hash of the last valid event, as hex. An external copy of it reveals later whether
            the end of the log was cut off.
        flaw: the error in the next event, or None if all are valid.
    """

    count: int
    head: str
    flaw: str | None
    deleted: DeletedPart | None = None

    @property
    def last_id(self) -> int:
        return self.count + (self.deleted.last_id if self.deleted else 0)


async def verify(
    db: AsyncSession,
    *,
    expect: str | None = None,
    report: Callable[[int], object] = lambda _: None,
) -> VerificationResult:
    """Verify the hash chain up to the first event that was changed, removed or moved.

    It starts at the checkpoint if retention has deleted events.

    Args:
        expect: a head of an earlier verification; it must still be in the chain.
        report: called with the id of the last verified event after each `PROGRESS_INTERVAL`.
    """
    chain = Chain(db)
    flaw = await chain.start()
    is_expected_seen = expect is None or chain.hash.hex() == expect
    if flaw is None:
        async for event in queries.event.stream(db):
            flaw = await chain.add(event)
            if flaw:
                break
            is_expected_seen = is_expected_seen or chain.hash.hex() == expect
            if chain.last_id % PROGRESS_INTERVAL == 0:
                report(chain.last_id)
        else:
            flaw = chain.find_missing_end() or await _check_table(db)
            if not is_expected_seen:
                flaw = _describe_missing_head(chain.checkpoint)
    return chain.conclude(flaw)


class Chain:
    """The verified part of the chain, to which events are added in the order of their ids.

    Attributes:
        checkpoint: the end of the deleted part; None if the chain begins with the first event.
        hash: of the last valid event.
    """

    def __init__(self, db: AsyncSession) -> None:
        self._db = db
        self._erasures = _Erasures(db)
        self.checkpoint: EventCheckpoint | None = None
        self.hash, self.last_id = b"", 0

    async def start(self) -> str | None:
        """Go on after the checkpoint if there is one. Return the flaw if its signature is wrong."""
        checkpoint = await queries.event.find_checkpoint(self._db)
        if checkpoint is None or checkpoint.last_id <= self.last_id:
            return None
        if not checkpoints.is_signed(checkpoint):
            return (
                f"the signature of the checkpoint of event {checkpoint.last_id} is wrong: it was "
                "forged, or SECRET_KEY and SECRET_KEY_FALLBACKS lack the key that signed it"
            )
        self.checkpoint = checkpoint
        self.hash, self.last_id = checkpoint.hash, checkpoint.last_id
        return None

    async def add(self, event: Event) -> str | None:
        """Add the next event. Return the flaw if it does not continue the chain."""
        # Retention may delete events while the log is being verified.
        if event.id > self.last_id + 1 and (flaw := await self.start()):
            return flaw
        flaw = _find_flaw(event, number=self.last_id + 1, previous=self.hash)
        if flaw is None and event.salt is None and not await self._erasures.cover(event):
            flaw = (
                f"the address and user agent of event {event.id} were erased, but no later "
                f"{queries.event.ERASED} event names its user"
            )
        if flaw is None:
            self.hash, self.last_id = event.hash, event.id
        return flaw

    @property
    def first_id(self) -> int:
        """The id of the first event that retention has not deleted."""
        return self.checkpoint.last_id + 1 if self.checkpoint else 1

    @property
    def count(self) -> int:
        return self.last_id + 1 - self.first_id

    def find_missing_end(self) -> str | None:
        """Return a flaw if no event follows the checkpoint: retention keeps the newest event."""
        return f"event {self.first_id} is missing" if self.checkpoint and not self.count else None

    def conclude(self, flaw: str | None) -> VerificationResult:
        end = self.checkpoint
        deleted = DeletedPart(end.last_id, end.deleted_at) if end else None
        return VerificationResult(self.count, self.hash.hex(), flaw, deleted)


def _describe_missing_head(checkpoint: EventCheckpoint | None) -> str:
    flaw = "the expected head is not in the chain"
    deleted = f", in which retention deleted events 1 to {checkpoint.last_id}" if checkpoint else ""
    return f"{flaw}{deleted}"


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


def _find_flaw(event: Event, *, number: int, previous: bytes) -> str | None:
    if event.id < number:
        return f"event {event.id} was deleted by retention and inserted again"
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
