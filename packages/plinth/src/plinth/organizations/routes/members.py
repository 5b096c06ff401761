"""Routes for the members of an organization."""

from fastapi import APIRouter

from plinth.config import settings
from plinth.errors import Conflict
from plinth.http.problems import responses
from plinth.organizations.deps import DirectMember, Member
from plinth.organizations.schemas import MemberOut, MemberUpdate
from plinth.organizations.services import members
from plinth.organizations.services.members import MemberRow
from plinth.organizations.services.roles import has_permission
from plinth.resources.access import MEMBER, access
from plinth.resources.deps import DB, Limit, RowId, Skip

router = APIRouter(prefix="/organizations/{slug}", tags=["organizations"])


@router.get("/members")
@access(MEMBER, queries=2, permission="members:read")
async def list_members(
    db: DB, member: Member, skip: Skip = 0, limit: Limit = settings.DEFAULT_PAGE_SIZE
) -> list[MemberOut]:
    """The members, in the order in which they joined."""
    rows = await members.list_members(db, member, skip=skip, limit=limit)
    shows_email = has_permission(member, members.WRITE)
    return [_show(row, shows_email=shows_email) for row in rows]


@router.patch("/members/{user_id}", responses=responses(Conflict))
@access(MEMBER, queries=6, permission="members:write")
async def change_member(
    db: DB, member: DirectMember, user_id: RowId, data: MemberUpdate
) -> MemberOut:
    """Change a role. You need all permissions of the old role and the new one. To make or remove
    an owner, authenticate again (`step_up_required`)."""
    row = await members.change_role(db, member, user_id, data.role)
    return _show(row, shows_email=True)


@router.delete("/members/{user_id}", status_code=204, responses=responses(Conflict))
@access(MEMBER, queries=5, permission="members:write")
async def remove_member(db: DB, member: DirectMember, user_id: RowId) -> None:
    """Remove a member. You need all permissions of the role."""
    await members.remove_member(db, member, user_id)


@router.post("/leave", status_code=204, responses=responses(Conflict))
@access(MEMBER, queries=5)
async def leave_organization(db: DB, member: DirectMember) -> None:
    """End your membership."""
    await members.leave(db, member)


def _show(row: MemberRow, *, shows_email: bool) -> MemberOut:
    membership, user = row
    return MemberOut(
        user_id=user.id,
        username=user.username,
        full_name=user.full_name,
        email=user.email if shows_email else None,
        role=membership.role,
        joined_at=membership.created_at,
    )
