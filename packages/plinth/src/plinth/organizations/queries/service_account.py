"""Queries of service accounts."""

from collections.abc import Sequence
from uuid import uuid4

from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts.models import User
from plinth.accounts.user_columns import SERVICE_VALUES
from plinth.organizations.models import Membership, ServiceAccount
from plinth.security.passwords import NO_PASSWORD

DOMAIN = "service-accounts.invalid"
"""No mail can be delivered to it (RFC 2606)."""


async def add_user(db: AsyncSession, name: str) -> int:
    """Insert a user without a password, and with an address that receives no mail."""
    number = uuid4().hex
    own = {name: it() if callable(it) else it for name, it in SERVICE_VALUES.items()}
    user = User(
        email=f"{number}@{DOMAIN}",
        username=f"service-{number}",
        full_name=name,
        hashed_password=NO_PASSWORD,
        **own,
    )
    db.add(user)
    await db.flush()
    return user.id


async def add(db: AsyncSession, account: ServiceAccount) -> None:
    """Insert the account of a user who is a member."""
    db.add(account)
    await db.flush()


async def count(db: AsyncSession, organization_id: int) -> int:
    found = select(func.count()).where(ServiceAccount.organization_id == organization_id)
    return await db.scalar(found) or 0


async def exists(db: AsyncSession, organization_id: int, user_id: int) -> bool:
    same = (ServiceAccount.organization_id == organization_id, ServiceAccount.user_id == user_id)
    return await db.scalar(select(ServiceAccount.user_id).where(*same)) is not None


async def list_all(
    db: AsyncSession, organization_id: int, *, skip: int, limit: int
) -> Sequence[Row[ServiceAccount, str]]:
    """Return the service accounts of an organization with their roles, oldest first."""
    found = (
        select(ServiceAccount, Membership.role)
        .join(
            Membership,
            (Membership.organization_id == ServiceAccount.organization_id)
            & (Membership.user_id == ServiceAccount.user_id),
        )
        .where(ServiceAccount.organization_id == organization_id)
        .order_by(ServiceAccount.created_at, ServiceAccount.user_id)
        .offset(skip)
        .limit(limit)
    )
    return (await db.execute(found)).all()
