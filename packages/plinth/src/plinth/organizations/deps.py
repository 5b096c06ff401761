"""Dependencies that authenticate a member of an organization, for use as types:
`member: Member`."""

import re
from typing import Annotated

from fastapi import Depends, Path, Request

from plinth.accounts.deps import BearerToken, require_direct, require_fresh, resources_of
from plinth.accounts.loaders import accept_key
from plinth.accounts.services.api_keys import authentication as api_keys
from plinth.db.tenancy import set_tenant
from plinth.errors import Unauthenticated
from plinth.organizations.models import MAX_SLUG_LENGTH
from plinth.organizations.queries.member import MemberPrincipal, load_members
from plinth.organizations.queries.member_key import load_member_keys
from plinth.organizations.services import members
from plinth.organizations.services.roles import OrganizationNotFound, require_permission
from plinth.request.context import current_request
from plinth.resources.access import find_permission
from plinth.security.api_keys import looks_like_key

__all__ = [
    "DirectMember",
    "FreshMember",
    "Member",
    "MemberPrincipal",
    "get_direct_member",
    "get_fresh_member",
    "get_member",
]

SLUG = re.compile(rf"[a-z0-9-]{{1,{MAX_SLUG_LENGTH}}}")
# The length is only documented: the organization of a longer slug is not found.
Slug = Annotated[
    str,
    Path(
        description="The organization, in lower case.",
        json_schema_extra={"maxLength": MAX_SLUG_LENGTH},
    ),
]
NO_SLUG = ""
"""The slug of no organization."""


async def get_member(
    request: Request,
    slug: Slug,
    token: BearerToken,
) -> MemberPrincipal:
    """Return the user of the session or of the API key, who is a member of the organization of the
    path, and whose role has the permission that the route declares.

    One query, which concurrent requests share, reads the session, the user and the membership. The
    rest of the request has the organization as its tenant (`db/tenancy.py`).

    Raises:
        OrganizationNotFound: it does not exist, or the user is no member of it.
        PermissionMissing
        PlinthError: as `plinth.accounts.deps.get_current_user`.
    """
    if token is None:
        raise Unauthenticated
    valid_slug = slug if SLUG.fullmatch(slug) else NO_SLUG
    authenticate = _authenticate_key if looks_like_key(token) else _authenticate_session
    member = await authenticate(request, token, valid_slug)
    if member.organization_id is None:
        raise OrganizationNotFound
    set_tenant(member.organization_id)
    if (permission := find_permission(request.scope)) is not None:
        require_permission(member, permission)
    return member


async def _authenticate_session(request: Request, token: str, slug: str) -> MemberPrincipal:
    loader = resources_of(request).database.reader.batched(load_members)
    member = await members.authenticate(loader, token, slug)
    if info := current_request():
        info.user_id, info.session_id = member.id, member.session_id
        info.acting_user_id = member.acting_user_id
        info.organization_id = member.organization_id
    return member


async def _authenticate_key(request: Request, text: str, slug: str) -> MemberPrincipal:
    """Return the member of an API key. Its right is that of the scopes and of the role."""
    token = api_keys.read(text)
    loader = resources_of(request).database.reader.batched(load_member_keys)
    member = accept_key(request, await loader.get((token.id, slug)), token).to_principal()
    if info := current_request():
        info.organization_id = member.organization_id
    return member


Member = Annotated[MemberPrincipal, Depends(get_member)]
"""A member of the organization of the path `/organizations/{slug}`. Declare it: `@access(MEMBER)`.
"""


async def get_direct_member(member: Member) -> MemberPrincipal:
    """Return the member, but not to a superuser who impersonates them, and to no API key.

    Raises:
        Impersonating
        SessionRequired
    """
    require_direct(member)
    return member


DirectMember = Annotated[MemberPrincipal, Depends(get_direct_member)]
"""The member, for routes that a superuser who impersonates them must not use."""


async def get_fresh_member(request: Request, member: DirectMember) -> MemberPrincipal:
    """Return the member if the session authenticated within `STEP_UP_MINUTES`.

    Raises:
        Impersonating
        StepUpRequired
    """
    await require_fresh(request, member)
    return member


FreshMember = Annotated[MemberPrincipal, Depends(get_fresh_member)]
"""The member of a session that authenticated recently. Declare it: `@access(MEMBER, fresh=True)`.
"""
