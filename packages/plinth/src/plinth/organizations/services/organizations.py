"""Create, change and delete organizations."""

from collections.abc import Sequence

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.config.organization_roles import OWNER
from plinth.organizations import queries
from plinth.organizations.models import Organization
from plinth.organizations.queries.member import MemberPrincipal
from plinth.organizations.schemas import OrganizationUpdate
from plinth.organizations.services.members import record
from plinth.organizations.services.roles import OrganizationNotFound, lock_as


async def create_organization(
    db: AsyncSession, user_id: int, *, slug: str, name: str
) -> Organization:
    """Create an organization with one member, its owner.

    Args:
        slug: of the form of `schemas.Slug`.

    Raises:
        Conflict: `slug_taken`: another organization has the slug, or had it in the last 90 days.
    """
    organization = await queries.organization.add(db, slug=slug, name=name)
    await queries.organization.add_member(db, organization.id, user_id, OWNER)
    record(db, "organization.created", organization, user_id, f"role {OWNER}")
    return organization


async def list_organizations(
    db: AsyncSession, user_id: int, *, skip: int, limit: int
) -> Sequence[Row[Organization, str]]:
    """Return the organizations of a user with the user's role, by slug."""
    return await queries.organization.list_of(db, user_id, skip=skip, limit=limit)


async def get_organization(db: AsyncSession, member: MemberPrincipal) -> Organization:
    """
    Raises:
        OrganizationNotFound: it was deleted meanwhile.
    """
    organization = await queries.organization.get(db, member.organization_id)
    if organization is None:
        raise OrganizationNotFound
    return organization


async def change_organization(
    db: AsyncSession, member: MemberPrincipal, changes: OrganizationUpdate
) -> Organization:
    """Apply the fields that were sent.

    Raises:
        Conflict: `slug_taken`, as at creation.
        PlinthError: as `lock_as`.
    """
    organization = (await lock_as(db, member, "organization:write")).organization
    values = changes.model_dump(exclude_unset=True)
    changed = sorted(name for name, value in values.items() if getattr(organization, name) != value)
    if changed:
        record(db, "organization.changed", organization, None, ", ".join(changed))
        await queries.organization.change(db, organization, values)
    return organization


async def delete_organization(db: AsyncSession, member: MemberPrincipal) -> None:
    """Delete an organization with everything that belongs to it.

    Raises:
        PlinthError: as `lock_as`.
    """
    organization = (await lock_as(db, member, "organization:delete")).organization
    record(db, "organization.deleted", organization, None, "with its members")
    await queries.organization.remove(db, organization.id)
