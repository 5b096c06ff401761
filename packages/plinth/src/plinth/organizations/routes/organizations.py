"""Routes for organizations: users create and list them, members read, change and delete one."""

from fastapi import APIRouter
from pydantic import MISSING

from plinth.accounts.deps import CurrentUser, DirectUser
from plinth.config import settings
from plinth.errors import Conflict, PermissionDenied, RateLimited
from plinth.http.problems import responses
from plinth.organizations.deps import DirectMember, FreshMember, Member
from plinth.organizations.models import Organization
from plinth.organizations.schemas import (
    OrganizationCreate,
    OrganizationOut,
    OrganizationUpdate,
    OwnershipTransfer,
)
from plinth.organizations.services import members, organizations
from plinth.organizations.services.limits import limit_slugs
from plinth.resources.access import MEMBER, USER, access
from plinth.resources.deps import DB, Limit, Skip

router = APIRouter(prefix="/organizations", tags=["organizations"])
member_router = APIRouter(prefix="/organizations/{slug}", tags=["organizations"])


@router.get("")
@access(USER, queries=2)
async def list_organizations(
    db: DB, user: CurrentUser, skip: Skip = 0, limit: Limit = settings.DEFAULT_PAGE_SIZE
) -> list[OrganizationOut]:
    """The organizations that you are a member of, by slug."""
    rows = await organizations.list_organizations(db, user.id, skip=skip, limit=limit)
    return [show(organization, role) for organization, role in rows]


@router.post("", status_code=201, responses=responses(PermissionDenied, Conflict, RateLimited))
@access(USER, queries=4)
async def create_organization(
    db: DB, user: DirectUser, data: OrganizationCreate
) -> OrganizationOut:
    """Create an organization. You are its owner."""
    await limit_slugs(user.id)
    organization = await organizations.create_organization(
        db, user.id, slug=data.slug, name=data.name
    )
    return show(organization, "owner")


@member_router.get("")
@access(MEMBER, queries=2)
async def get_organization(db: DB, member: Member) -> OrganizationOut:
    return show(await organizations.get_organization(db, member), member.role)


@member_router.patch("", responses=responses(Conflict, RateLimited))
@access(MEMBER, queries=5, permission="organization:write")
async def update_organization(
    db: DB, member: DirectMember, changes: OrganizationUpdate
) -> OrganizationOut:
    """Change the name or the slug. Another organization cannot have the old slug for 90 days."""
    if changes.slug not in (MISSING, member.organization_slug):
        await limit_slugs(member.id)
    organization = await organizations.change_organization(db, member, changes)
    return show(organization, member.role)


@member_router.delete("", status_code=204)
@access(MEMBER, queries=5, fresh=True, permission="organization:delete")
async def delete_organization(db: DB, member: FreshMember) -> None:
    """Delete the organization with everything that belongs to it. This cannot be undone."""
    await organizations.delete_organization(db, member)


@member_router.post("/transfer", responses=responses(Conflict))
@access(MEMBER, queries=6, fresh=True, permission="organization:transfer")
async def transfer_organization(
    db: DB, member: FreshMember, data: OwnershipTransfer
) -> OrganizationOut:
    """Make another member an owner in your place. You become an admin."""
    organization = await members.transfer(db, member, data.user_id)
    return show(organization, members.FORMER_OWNER)


def show(organization: Organization, role: str) -> OrganizationOut:
    return OrganizationOut(
        id=organization.id,
        slug=organization.slug,
        name=organization.name,
        role=role,
        created_at=organization.created_at,
    )
