"""The dependencies of routes, as types: `db: DB`, `user: CurrentUser`."""

from typing import TYPE_CHECKING, Annotated

from fastapi import Depends

from app.models import User
from plinth.accounts.deps import (
    BearerToken,
    Device,
    Principal,
    get_current_user,
    get_verified_user,
    oauth2_scheme,
)
from plinth.accounts.deps import get_optional_user as get_current_user_optional
from plinth.accounts.deps import get_superuser as get_current_active_superuser
from plinth.organizations.deps import MemberPrincipal, get_member
from plinth.resources import DB, Client, Limit, ReadDB, RowId, Skip, get_db

__all__ = [
    "DB",
    "BearerToken",
    "Caller",
    "Client",
    "CurrentUser",
    "Device",
    "Limit",
    "Member",
    "OptionalUser",
    "ReadDB",
    "RowId",
    "Skip",
    "Superuser",
    "VerifiedUser",
    "get_current_active_superuser",
    "get_current_user",
    "get_current_user_optional",
    "get_db",
    "oauth2_scheme",
]

if TYPE_CHECKING:

    class Caller(User, Principal):
        """The columns of `User` that are not secret, read-only, and `session_id`."""

    class OrganizationMember(User, MemberPrincipal):
        """As `Caller`, with `organization_id`, `organization_slug` and `role`."""

else:
    Caller, OrganizationMember = Principal, MemberPrincipal

CurrentUser = Annotated[Caller, Depends(get_current_user)]
OptionalUser = Annotated[Caller | None, Depends(get_current_user_optional)]
Superuser = Annotated[Caller, Depends(get_current_active_superuser)]
VerifiedUser = Annotated[Caller, Depends(get_verified_user)]
Member = Annotated[OrganizationMember, Depends(get_member)]
