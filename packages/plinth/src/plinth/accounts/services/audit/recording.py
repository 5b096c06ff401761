"""Write an event in the transaction of the change that it records."""

import hashlib
import json
import secrets
from typing import Literal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.db.database import before_commit
from plinth.request.context import RequestInfo, current_request

Outcome = Literal["success", "failure"]
SALT_BYTES = 16
MAX_REASON_LENGTH = 500


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
