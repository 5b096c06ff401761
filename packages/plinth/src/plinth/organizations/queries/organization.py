"""Queries of organizations and memberships."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row, delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts.models import User
from plinth.organizations.models import Membership, Organization


class MemberState(NamedTuple):
    role: str
    is_active: bool


async def add(db: AsyncSession, *, slug: str, name: str) -> Organization:
    organization = Organization(slug=slug, name=name)
    db.add(organization)
    await db.flush()
    return organization


async def add_member(db: AsyncSession, organization_id: int, user_id: int, role: str) -> None:
    """
    Raises:
        IntegrityError: the user is a member already.
    """
    db.add(Membership(organization_id=organization_id, user_id=user_id, role=role))
    await db.flush()


async def get(db: AsyncSession, organization_id: int) -> Organization | None:
    return await db.get(Organization, organization_id)


async def lock(db: AsyncSession, organization_id: int) -> Organization | None:
    """Return the organization and lock its row. Every change of its members takes this lock.

    A membership that is read after it is not changed by others until the transaction ends.
    """
    locked = (
        select(Organization)
        .where(Organization.id == organization_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    organization: Organization | None = await db.scalar(locked)
    return organization


async def change(db: AsyncSession, organization: Organization, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        setattr(organization, name, value)
    await db.flush()


async def remove(db: AsyncSession, organization_id: int) -> None:
    """Delete an organization with everything that belongs to it."""
    statement = delete(Organization).where(Organization.id == organization_id)
    await db.execute(statement.execution_options(synchronize_session=False))


async def list_of(
    db: AsyncSession, user_id: int, *, skip: int, limit: int
) -> Sequence[Row[Organization, str]]:
    """Return the organizations of a user with the user's role, by slug."""
    found = (
        select(Organization, Membership.role)
        .join(Membership, Membership.organization_id == Organization.id)
        .where(Membership.user_id == user_id)
        .order_by(Organization.slug)
        .offset(skip)
        .limit(limit)
    )
    return (await db.execute(found)).all()


async def list_members(
    db: AsyncSession, organization_id: int, *, skip: int, limit: int
) -> Sequence[Row[Membership, User]]:
    """Return the members of an organization in the order in which they joined."""
    found = (
        select(Membership, User)
        .join(User, User.id == Membership.user_id)
        .where(Membership.organization_id == organization_id)
        .order_by(Membership.created_at, Membership.user_id)
        .offset(skip)
        .limit(limit)
    )
    return (await db.execute(found)).all()


async def get_member(
    db: AsyncSession, organization_id: int, user_id: int
) -> Row[Membership, User] | None:
    found = (
        select(Membership, User)
        .join(User, User.id == Membership.user_id)
        .where(Membership.organization_id == organization_id, Membership.user_id == user_id)
    )
    return (await db.execute(found)).one_or_none()


async def get_states(
    db: AsyncSession, organization_id: int, user_ids: Collection[int]
) -> Mapping[int, MemberState]:
    """Return the state of each of these users who is a member."""
    found = (
        select(Membership.user_id, Membership.role, User.is_active)
        .join(User, User.id == Membership.user_id)
        .where(Membership.organization_id == organization_id, Membership.user_id.in_(user_ids))
    )
    return {
        user_id: MemberState(role, is_active)
        for user_id, role, is_active in await db.execute(found)
    }


async def has_member_with(db: AsyncSession, organization_id: int, email_canonical: str) -> bool:
    """Return whether a member's account has this address."""
    found = (
        select(Membership.user_id)
        .join(User, User.id == Membership.user_id)
        .where(
            Membership.organization_id == organization_id,
            User.email_canonical == email_canonical,
        )
    )
    return await db.scalar(found) is not None


async def set_role(db: AsyncSession, organization_id: int, user_id: int, role: str) -> None:
    """
    Raises:
        IntegrityError: the user is the last owner.
    """
    await db.execute(
        update(Membership)
        .where(Membership.organization_id == organization_id, Membership.user_id == user_id)
        .values(role=role)
        .execution_options(synchronize_session=False)
    )


async def remove_member(db: AsyncSession, organization_id: int, user_id: int) -> bool:
    """Delete a membership. Return whether there was one.

    Raises:
        IntegrityError: the user is the last owner.
    """
    statement = (
        delete(Membership)
        .where(Membership.organization_id == organization_id, Membership.user_id == user_id)
        .returning(Membership.user_id)
        .execution_options(synchronize_session=False)
    )
    return (await db.execute(statement)).scalar_one_or_none() is not None


async def export(db: AsyncSession, user_ids: Collection[int]) -> Sequence[Row[int, str, str]]:
    """Return the user, the slug and the role of each membership of these users."""
    found = (
        select(Membership.user_id, Organization.slug, Membership.role)
        .join(Organization, Organization.id == Membership.organization_id)
        .where(Membership.user_id.in_(user_ids))
        .order_by(Membership.user_id, Organization.slug)
    )
    return (await db.execute(found)).all()
