"""The routes of organizations.

`router` belongs in PRIVATE of an application's `api/v1`, and `member_router` in MEMBERS.
"""

from fastapi import APIRouter

from plinth.organizations.routes import invitations, members, organizations, service_accounts

router = APIRouter()
router.include_router(organizations.router)
router.include_router(invitations.router)

member_router = APIRouter()
member_router.include_router(organizations.member_router)
member_router.include_router(members.router)
member_router.include_router(invitations.member_router)
member_router.include_router(service_accounts.router)

__all__ = ["member_router", "router"]
