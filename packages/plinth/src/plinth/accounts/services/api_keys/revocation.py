"""Revoke all API keys of a user."""

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.services import audit


async def revoke_all(db: AsyncSession, user_id: int, *, reason: str) -> list[str]:
    """Revoke all keys of a user and return their names.

    Args:
        user_id: the user, whose row is locked, so that no key is created meanwhile.
    """
    revoked = await queries.api_key.revoke_all(db, user_id, reason)
    for key_id in revoked:
        audit.record(db, "api_key.revoked", subject_id=user_id, reason=f"{key_id}: {reason}")
    return sorted(revoked.values())
