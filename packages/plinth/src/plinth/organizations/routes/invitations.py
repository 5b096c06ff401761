"""Routes for invitations: members invite, the invited user accepts."""

from collections.abc import Sequence

from fastapi import APIRouter

from plinth.accounts.deps import DirectUser
from plinth.config import settings
from plinth.errors import Conflict, PermissionDenied, RateLimited
from plinth.http.problems import responses
from plinth.organizations.deps import DirectMember, Member
from plinth.organizations.models import Invitation
from plinth.organizations.routes.organizations import show
from plinth.organizations.schemas import (
    InvitationAccept,
    InvitationCreate,
    InvitationOut,
    OrganizationOut,
)
from plinth.organizations.services import invitations
from plinth.resources.access import MEMBER, USER, access
from plinth.resources.deps import DB, Limit, RowId, Skip

router = APIRouter(prefix="/invitations", tags=["organizations"])
member_router = APIRouter(prefix="/organizations/{slug}/invitations", tags=["organizations"])


@router.post("/accept", responses=responses(PermissionDenied, Conflict))
@access(USER, queries=9)
async def accept_invitation(db: DB, user: DirectUser, data: InvitationAccept) -> OrganizationOut:
    """Join an organization with the token of an invitation. Your address must be the invited one,
    and verified."""
    organization, role = await invitations.accept(db, user.id, user.session_id, data.token)
    return show(organization, role)


@member_router.get("", response_model=list[InvitationOut])
@access(MEMBER, queries=2, permission="invitations:read")
async def list_invitations(
    db: DB, member: Member, skip: Skip = 0, limit: Limit = settings.DEFAULT_PAGE_SIZE
) -> Sequence[Invitation]:
    """The invitations that can still be accepted, newest first."""
    return await invitations.list_invitations(db, member, skip=skip, limit=limit)


@member_router.post(
    "",
    status_code=201,
    response_model=InvitationOut,
    responses=responses(Conflict, RateLimited),
)
@access(MEMBER, queries=8, permission="invitations:write")
async def create_invitation(db: DB, member: DirectMember, data: InvitationCreate) -> Invitation:
    """Mail an invitation, in place of an earlier one to the same address. You need all permissions
    of the role. To invite an owner, authenticate again (`step_up_required`)."""
    return await invitations.invite(db, member, data.email, data.role)


@member_router.delete("/{invitation_id}", status_code=204)
@access(MEMBER, queries=5, permission="invitations:write")
async def revoke_invitation(db: DB, member: DirectMember, invitation_id: RowId) -> None:
    await invitations.revoke(db, member, invitation_id)
