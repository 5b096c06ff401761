"""`Idempotency-Key`: a request that is sent again is not done again
(draft-ietf-httpapi-idempotency-key-header)."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

from asyncpg import LockNotAvailableError
from fastapi import Depends, Header, Request, Response
from pydantic import TypeAdapter
from sqlalchemy.exc import DBAPIError

from plinth.errors import Conflict, InvalidField, Unauthenticated
from plinth.request.context import current_request
from plinth.resources import idempotency_queries
from plinth.resources.deps import DB

RowT = TypeVar("RowT")

JSON = "application/json"


class StillInProgress(Conflict):
    code = "in_progress"
    detail = "The first request with this Idempotency-Key is still being worked on"


class Once:
    """Does the work of a route at most once for each key of a user, within 24 hours.

    The route asks for a `CurrentUser` as well. The key is a row in the transaction of the work
    itself: both are there, or neither. Who sends the same again gets the same answer; who sends
    another request with the same key, a 422.
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
                description="Of the client's choice. The same request with it is done once.",
            ),
        ] = None,
    ) -> None:
        self._request = request
        self._db = db
        self._key = idempotency_key

    async def run(
        self, shown_as: type[Any], work: Callable[[], Awaitable[RowT]]
    ) -> RowT | Response:
        """
        Args:
            shown_as: the type of the answer, as the route's `response_model`.

        Raises:
            InvalidField: another request was sent with this key.
            StillInProgress
            Unauthenticated: the route asks for no user.
        """
        if self._key is None:
            return await work()
        user_id = _find_user_id()
        fingerprint = await self._fingerprint()
        if not await self._claim(user_id, self._key, fingerprint):
            return await self._answer_again(user_id, self._key, fingerprint)
        row = await work()
        adapter: TypeAdapter[Any] = TypeAdapter(shown_as)
        answer = adapter.dump_json(adapter.validate_python(row, from_attributes=True))
        await idempotency_queries.keep_answer(self._db, user_id, self._key, answer)
        return _respond(answer, again=False)

    async def _claim(self, user_id: int, key: str, fingerprint: bytes) -> bool:
        try:
            return await idempotency_queries.claim(self._db, user_id, key, fingerprint=fingerprint)
        except DBAPIError as error:
            if error.orig and isinstance(error.orig.__cause__, LockNotAvailableError):
                raise StillInProgress from error
            raise

    async def _answer_again(self, user_id: int, key: str, fingerprint: bytes) -> Response:
        done = await idempotency_queries.get(self._db, user_id, key)
        if done is None or done.answer is None:
            raise StillInProgress
        if done.fingerprint != fingerprint:
            raise InvalidField(
                "idempotency-key",
                "was sent with another request before",
                kind="idempotency_key_reused",
                where="header",
            )
        return _respond(done.answer, again=True)

    async def _fingerprint(self) -> bytes:
        url = self._request.url
        line = f"{self._request.method} {url.path}?{url.query}\n".encode()
        return hashlib.sha256(line + await self._request.body()).digest()


DoneOnce = Annotated[Once, Depends()]


def _find_user_id() -> int:
    request = current_request()
    if request is None or request.user_id is None:
        raise Unauthenticated
    return request.user_id


def _respond(answer: bytes, *, again: bool) -> Response:
    headers = {"Idempotency-Replayed": "true"} if again else None
    return Response(answer, 201, headers, media_type=JSON)
