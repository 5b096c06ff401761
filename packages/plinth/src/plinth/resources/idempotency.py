"""`Idempotency-Key`: a repeated request returns the first response instead of running again.

The key is a row in the transaction of the work that it guards
(draft-ietf-httpapi-idempotency-key-header).
"""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Annotated, Any, TypeVar

from asyncpg import LockNotAvailableError
from fastapi import Depends, Header, Request, Response
from pydantic import TypeAdapter
from sqlalchemy import ForeignKey, LargeBinary, String, func, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from plinth.db.models import Base
from plinth.db.tenancy import current_tenant
from plinth.errors import Conflict, InvalidField, Unauthenticated
from plinth.request.context import current_request
from plinth.resources.deps import DB

RowT = TypeVar("RowT")

JSON = "application/json"
RETENTION = timedelta(hours=24)


class IdempotencyKey(Base):
    """A key that a client sent, and the response to replay."""

    __tablename__ = "idempotency_keys"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary(32))
    answer: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)


_is_expired = IdempotencyKey.created_at < func.now() - RETENTION


class StillInProgress(Conflict):
    code = "in_progress"
    detail = "The first request with this Idempotency-Key is still in progress; retry later"


class Idempotency:
    """Run the work of a route at most once per user and key, for 24 hours.

    The route must depend on `CurrentUser` or `Member` too. A repeated request gets the stored
    response. A different request with the same key gets a 422.
    """

    def __init__(
        self,
        request: Request,
        db: DB,
        idempotency_key: Annotated[
            str | None,
            Header(
                min_length=1,
                max_length=255,
                pattern=r"^[\x21-\x7e]+$",
                description="A key that the client chooses. Requests with the same key run once.",
            ),
        ] = None,
    ) -> None:
        self._request = request
        self._db = db
        self._key = idempotency_key

    async def run(
        self, response_model: type[Any], work: Callable[[], Awaitable[RowT]]
    ) -> RowT | Response:
        """Run `work`, or return the response stored for this key.

        Args:
            response_model: the one of the route.

        Raises:
            InvalidField: the key was used for a different request.
            StillInProgress: the first request has not finished.
            Unauthenticated: the route does not depend on a user.
        """
        if self._key is None:
            return await work()
        user_id = _find_user_id()
        fingerprint = await self._fingerprint()
        if not await self._claim(user_id, self._key, fingerprint):
            return await self._replay(user_id, self._key, fingerprint)
        row = await work()
        adapter: TypeAdapter[Any] = TypeAdapter(response_model)
        answer = adapter.dump_json(adapter.validate_python(row, from_attributes=True))
        await store_answer(self._db, user_id, self._key, answer)
        return _respond(answer, replayed=False)

    async def _claim(self, user_id: int, key: str, fingerprint: bytes) -> bool:
        try:
            return await claim(self._db, user_id, key, fingerprint=fingerprint)
        except DBAPIError as error:
            if error.orig and isinstance(error.orig.__cause__, LockNotAvailableError):
                raise StillInProgress from error
            raise

    async def _replay(self, user_id: int, key: str, fingerprint: bytes) -> Response:
        first = await self._db.get(IdempotencyKey, (user_id, key))
        if first is None or first.answer is None:
            raise StillInProgress
        if first.fingerprint != fingerprint:
            raise InvalidField(
                "idempotency-key",
                "was already used for a different request: send a new key",
                kind="idempotency_key_reused",
                location="header",
            )
        return _respond(first.answer, replayed=True)

    async def _fingerprint(self) -> bytes:
        url = self._request.url
        # A path contains the slug of an organization, which may change.
        tenant = "" if (it := current_tenant()) is None else f" of {it}"
        request_line = f"{self._request.method} {url.path}?{url.query}{tenant}\n".encode()
        return hashlib.sha256(request_line + await self._request.body()).digest()


IdempotentRequest = Annotated[Idempotency, Depends()]


def _find_user_id() -> int:
    request = current_request()
    if request is None or request.user_id is None:
        raise Unauthenticated
    return request.user_id


def _respond(answer: bytes, *, replayed: bool) -> Response:
    headers = {"Idempotency-Replayed": "true"} if replayed else None
    return Response(answer, 201, headers, media_type=JSON)


async def claim(db: AsyncSession, user_id: int, key: str, *, fingerprint: bytes) -> bool:
    """Insert the key. Return False if another request has claimed it.

    Concurrent requests with the same key wait until the first one has committed.

    Raises:
        DBAPIError: caused by `LockNotAvailableError`: the wait exceeded `DB_LOCK_TIMEOUT`.
    """
    fresh = {"fingerprint": fingerprint, "answer": None, "created_at": func.now()}
    claimed = insert(IdempotencyKey).values(user_id=user_id, key=key, **fresh)
    return (
        await db.scalar(
            claimed.on_conflict_do_update(
                index_elements=[IdempotencyKey.user_id, IdempotencyKey.key],
                set_=fresh,
                where=_is_expired,
            ).returning(IdempotencyKey.key)
        )
        is not None
    )


async def store_answer(db: AsyncSession, user_id: int, key: str, answer: bytes) -> None:
    await db.execute(
        update(IdempotencyKey)
        .where(IdempotencyKey.user_id == user_id, IdempotencyKey.key == key)
        .values(answer=answer)
        .execution_options(synchronize_session=False)
    )
