"""Create, change and revoke API keys. Each change is audited, and the owner is notified.

Keys survive a change of the password, as those of GitHub do: programs use them, and a new password
should not stop those. `revocation.revoke_all` is for a compromised account.
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.models import ApiKey, User
from plinth.accounts.queries.principal import Principal
from plinth.accounts.services import accounts, audit, credentials, throttle
from plinth.accounts.services.api_keys import revocation
from plinth.config import settings
from plinth.errors import InvalidField, NotFound, Rejected
from plinth.security.api_keys import make_api_key, parse_api_key

REPORTED = "reported by POST /api-keys/revoke"


class ApiKeyNotFound(NotFound):
    code = "api_key_not_found"
    detail = "API key not found"


class TooManyApiKeys(Rejected):
    code = "too_many_api_keys"
    detail = f"An account can have {settings.API_KEYS_PER_USER} API keys: revoke one first"


class NewApiKey(NamedTuple):
    """
    Attributes:
        text: the key, which is not stored.
    """

    row: ApiKey
    text: str


async def create(
    db: AsyncSession, caller: Principal, values: Mapping[str, Any], days: int
) -> NewApiKey:
    """Create a key of the caller.

    Args:
        values: name, scopes and networks. The scopes were checked by `check_scopes`.
        days: the lifetime.

    Raises:
        Impersonating, StepUpRequired, Unauthenticated: see `accounts.lock_caller`.
        RateLimited
        TooManyApiKeys
    """
    await throttle.limit_api_keys(caller.id)
    user = await accounts.lock_caller(db, caller.id, caller.session_id, recent=True)
    key = await add(db, user.id, values, days, created_by=caller.id)
    await _notify(db, user, "api_key_created", key.row.name)
    return key


async def add(
    db: AsyncSession, user_id: int, values: Mapping[str, Any], days: int, *, created_by: int
) -> NewApiKey:
    """Create a key of a user. A lock of the caller's makes concurrent calls wait.

    Raises:
        TooManyApiKeys
    """
    if await queries.api_key.count_live(db, user_id) >= settings.API_KEYS_PER_USER:
        raise TooManyApiKeys
    token = make_api_key(uuid4())
    stored = {"id": token.id, "user_id": user_id, "hash": token.hash, "created_by": created_by}
    row = await queries.api_key.add(db, {**values, **stored}, days=days)
    audit.record(
        db, "api_key.created", subject_id=user_id, reason=f"{row.id}: {', '.join(row.scopes)}"
    )
    return NewApiKey(row, token.text)


async def change(
    db: AsyncSession, caller: Principal, key_id: UUID, values: Mapping[str, Any]
) -> ApiKey:
    """Change the name, scopes or networks of a key.

    Raises:
        ApiKeyNotFound: the caller has no such key, or it expired or was revoked.
        Impersonating, StepUpRequired, Unauthenticated: see `accounts.lock_caller`.
    """
    user = await accounts.lock_caller(db, caller.id, caller.session_id, recent=True)
    row = await queries.api_key.change(db, user.id, key_id, values)
    if row is None:
        raise ApiKeyNotFound
    if not values:
        return row
    reason = f"{row.id}: {', '.join(sorted(values))}; scopes: {', '.join(row.scopes)}"
    audit.record(db, "api_key.changed", subject_id=user.id, reason=reason)
    if values.keys() - {"name"}:
        await _notify(db, user, "api_key_changed", row.name)
    return row


async def revoke(db: AsyncSession, user_id: int, key_id: UUID) -> None:
    """Revoke a key of a user, for its owner.

    Raises:
        ApiKeyNotFound
    """
    owned = (ApiKey.id == key_id, ApiKey.user_id == user_id)
    row = await queries.api_key.revoke(db, *owned, reason="revoked by its user")
    if row is None:
        raise ApiKeyNotFound
    _record_revocation(db, row)


async def revoke_by_operator(db: AsyncSession, key_id: UUID, *, reason: str) -> ApiKey:
    """Revoke a key and notify its creator.

    Raises:
        ApiKeyNotFound
    """
    row = await queries.api_key.revoke(db, ApiKey.id == key_id, reason=reason)
    if row is None:
        raise ApiKeyNotFound
    await _report(db, row)
    return row


async def revoke_all_by_operator(db: AsyncSession, user_id: int, *, reason: str) -> list[str]:
    """Revoke all keys of a user, notify the user, and return the names of the keys.

    Raises:
        UserNotFound
    """
    user = await accounts.get_locked(db, user_id)
    if names := await revocation.revoke_all(db, user_id, reason=reason):
        await _notify(db, user, "api_key_revoked", ", ".join(names))
    return names


async def revoke_reported(db: AsyncSession, text: str) -> None:
    """Revoke a key that someone found. Nothing happens if the text is no key that works."""
    token = parse_api_key(text)
    if token is None:
        return
    same = (ApiKey.id == token.id, ApiKey.hash == token.hash)
    if (row := await queries.api_key.revoke(db, *same, reason=REPORTED)) is not None:
        await _report(db, row)


def check_scopes(scopes: Collection[str], known: Collection[str]) -> None:
    """
    Args:
        known: the permissions that routes of the application declare.

    Raises:
        InvalidField: a scope is not known.
    """
    if unknown := sorted(set(scopes) - set(known)):
        raise InvalidField(
            "scopes",
            f"has unknown scopes: {', '.join(unknown)}; known are: {', '.join(sorted(known))}",
            kind="unknown_scope",
        )


async def _report(db: AsyncSession, row: ApiKey) -> None:
    """Record the revocation, and notify the creator: a service account receives no mail."""
    _record_revocation(db, row)
    user = await queries.user.get(db, row.created_by or row.user_id)
    if user is not None:
        await _notify(db, user, "api_key_revoked", row.name)


def _record_revocation(db: AsyncSession, row: ApiKey) -> None:
    audit.record(
        db, "api_key.revoked", subject_id=row.user_id, reason=f"{row.id}: {row.revoked_reason}"
    )


async def _notify(db: AsyncSession, user: User, kind: str, name: str) -> None:
    await credentials.notify(db, user, kind, page=credentials.FORGOT_PAGE, name=name)
