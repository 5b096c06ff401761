"""Queries of invitations. An organization has at most one for each address."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.organizations.models import Invitation


async def store(
    db: AsyncSession,
    *,
    organization_id: int,
    email: str,
    email_canonical: str,
    role: str,
    token_hash: bytes,
    inviter_id: int,
    lifetime: timedelta,
) -> Invitation:
    """Store an invitation in place of an earlier one to the same address."""
    values = {
        "email": email,
        "role": role,
        "token_hash": token_hash,
        "inviter_id": inviter_id,
        "created_at": func.now(),
        "expires_at": func.now() + lifetime,
    }
    statement = (
        insert(Invitation)
        .values(organization_id=organization_id, email_canonical=email_canonical, **values)
        .on_conflict_do_update(
            index_elements=[Invitation.organization_id, Invitation.email_canonical], set_=values
        )
        .returning(Invitation)
        .execution_options(populate_existing=True)
    )
    invitation: Invitation = (await db.scalars(statement)).one()
    return invitation


async def list_of(
    db: AsyncSession, organization_id: int, *, skip: int, limit: int
) -> Sequence[Invitation]:
    """Return the invitations that can still be accepted, newest first."""
    found = (
        select(Invitation)
        .where(Invitation.organization_id == organization_id, Invitation.expires_at > func.now())
        .order_by(Invitation.id.desc())
        .offset(skip)
        .limit(limit)
    )
    return (await db.scalars(found)).all()


async def find_organization(db: AsyncSession, token_hash: bytes) -> int | None:
    """Return the organization of a token. Only `use` guarantees that it is still valid."""
    found = select(Invitation.organization_id).where(Invitation.token_hash == token_hash)
    return await db.scalar(found)


async def use(db: AsyncSession, token_hash: bytes) -> tuple[Invitation, bool] | None:
    """Delete an invitation. Of concurrent calls, one gets it.

    Returns:
        The invitation, and whether it is still valid.
    """
    statement = (
        delete(Invitation)
        .where(Invitation.token_hash == token_hash)
        .returning(Invitation, Invitation.expires_at > func.now())
        .execution_options(synchronize_session=False)
    )
    row = (await db.execute(statement)).one_or_none()
    return (row[0], row[1]) if row else None


async def remove(db: AsyncSession, organization_id: int, invitation_id: int) -> bool:
    """Delete an invitation of an organization. Return whether there was one."""
    statement = (
        delete(Invitation)
        .where(Invitation.id == invitation_id, Invitation.organization_id == organization_id)
        .returning(Invitation.id)
        .execution_options(synchronize_session=False)
    )
    return (await db.execute(statement)).scalar_one_or_none() is not None


async def purge(db: AsyncSession, organization_id: int) -> None:
    """Delete the expired invitations of an organization."""
    statement = delete(Invitation).where(
        Invitation.organization_id == organization_id, Invitation.expires_at <= func.now()
    )
    await db.execute(statement.execution_options(synchronize_session=False))


async def remove_to(db: AsyncSession, email_canonical: str) -> None:
    """Delete the invitations of all organizations to an address."""
    statement = delete(Invitation).where(Invitation.email_canonical == email_canonical)
    await db.execute(statement.execution_options(synchronize_session=False))
