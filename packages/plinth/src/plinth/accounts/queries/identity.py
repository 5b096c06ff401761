"""Identities, the accounts at identity providers that sign in a user, beside other methods."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, literal, null, select, union_all, update
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts.models import Factor, Identity, Passkey, RecoveryCode

MAX_IDENTITIES = 10  # of one user


class SignInMethod(NamedTuple):
    """
    Attributes:
        kind: of the second factor, such as "totp", or "identity" or "recovery codes".
        name: of the factor, the provider and address of the identity, or the number of codes.
        created_at: None for recovery codes, as `last_used_at`.
    """

    kind: str
    name: str
    created_at: datetime | None
    last_used_at: datetime | None


async def lock_subject(db: AsyncSession, issuer: str, subject: str) -> None:
    """Serialize first sign-ins of one account until the transaction ends."""
    key = f"identity {issuer} {subject}"
    await db.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(key, 0))))


async def find(db: AsyncSession, issuer: str, subject: str) -> Identity | None:
    found = select(Identity).where(Identity.issuer == issuer, Identity.subject == subject)
    identity: Identity | None = await db.scalar(found)
    return identity


async def add(
    db: AsyncSession, user_id: int, *, provider: str, issuer: str, subject: str, email: str | None
) -> Identity:
    identity = Identity(
        user_id=user_id, provider=provider, issuer=issuer, subject=subject, email=email
    )
    db.add(identity)
    await db.flush()
    return identity


async def record_use(db: AsyncSession, identity_id: UUID, provider: str, email: str | None) -> bool:
    """Record a use. Return False if the identity has been removed."""
    used = (
        update(Identity)
        .where(Identity.id == identity_id)
        .values(last_used_at=func.now(), provider=provider, email=email)
        .returning(Identity.id)
        .execution_options(synchronize_session=False)
    )
    return await db.scalar(used) is not None


async def get_all(db: AsyncSession, user_id: int) -> Sequence[Identity]:
    """Return the identities of a user, oldest first."""
    identities = select(Identity).where(Identity.user_id == user_id)
    return (await db.scalars(identities.order_by(Identity.created_at, Identity.id))).all()


async def remove(db: AsyncSession, user_id: int, identity_id: UUID) -> Identity | None:
    """Delete an identity of this user and return it."""
    identity = await db.scalar(
        select(Identity).where(Identity.id == identity_id, Identity.user_id == user_id)
    )
    if identity is not None:
        await db.delete(identity)
        await db.flush()
    return identity


async def has_way_in(db: AsyncSession, user_id: int, providers: Collection[str]) -> bool:
    """Return whether the user can sign in without a password.

    Args:
        providers: those in the settings; an identity of another one is no way to sign in.
    """
    identity = (
        select(Identity.id)
        .where(Identity.user_id == user_id, Identity.provider.in_(providers))
        .exists()
    )
    passkey = (
        select(Passkey.factor_id)
        .join(Factor, Factor.id == Passkey.factor_id)
        .where(Factor.user_id == user_id, Passkey.is_user_verified)
        .exists()
    )
    return bool(await db.scalar(select(identity | passkey)))


async def describe_methods(db: AsyncSession, user_id: int) -> Sequence[SignInMethod]:
    """Return the confirmed factors and the identities of a user, oldest first, then the codes."""
    factors = select(Factor.kind, Factor.name, Factor.created_at, Factor.last_used_at).where(
        Factor.user_id == user_id, Factor.confirmed_at.is_not(None)
    )
    identities = select(
        literal("identity"),
        func.concat_ws(", ", Identity.provider, Identity.email),
        Identity.created_at,
        Identity.last_used_at,
    ).where(Identity.user_id == user_id)
    codes = select(
        literal("recovery codes"), func.concat(func.count(), " left"), null(), null()
    ).where(RecoveryCode.user_id == user_id)
    methods = union_all(factors, identities, codes).order_by("created_at", "kind", "name")
    return [SignInMethod(*row) for row in await db.execute(methods)]
