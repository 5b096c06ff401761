"""The bodies of requests and responses of organizations."""

from datetime import datetime
from typing import Annotated

from pydantic import MISSING, AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from plinth.config import settings
from plinth.organizations.models import MAX_SLUG_LENGTH
from plinth.resources.fields import Email, Label, RowRef

# fmt: off
RESERVED_SLUGS = frozenset({
    "about", "account", "accounts", "admin", "api", "app", "apps", "assets", "auth", "billing",
    "blog", "contact", "dashboard", "docs", "download", "email", "favicon", "health", "help",
    "home", "invitation", "invitations", "invite", "join", "legal", "login", "logout", "mail",
    "me", "member", "members", "new", "oauth", "organization", "organizations", "owner",
    "password", "pricing", "privacy", "public", "register", "robots", "root", "search",
    "security", "settings", "signin", "signup", "sitemap", "static", "status", "support",
    "system", "team", "teams", "terms", "user", "users", "webhook", "webhooks", "well-known",
    "www",
})
# fmt: on
"""Slugs that an organization cannot have, since front ends use them as paths or host names."""


def _refuse_reserved(slug: str) -> str:
    if slug in RESERVED_SLUGS:
        raise ValueError("is reserved")
    return slug


def _check_role(role: str) -> str:
    names = settings.ORGANIZATION_ROLES.names
    if role not in names:
        raise ValueError(f"must be one of {', '.join(names)}")
    return role


Slug = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        to_lower=True,
        min_length=2,
        max_length=MAX_SLUG_LENGTH,
        pattern=r"^[A-Za-z0-9]+(-[A-Za-z0-9]+)*$",
    ),
    AfterValidator(_refuse_reserved),
    Field(description="The name in URLs. It is stored in lower case."),
]
RoleName = Annotated[
    str,
    AfterValidator(_check_role),
    Field(examples=["member"], json_schema_extra={"enum": list(settings.ORGANIZATION_ROLES.names)}),
]
"""A role of `Settings.ORGANIZATION_ROLES`."""


class OrganizationCreate(BaseModel):
    name: Label
    slug: Slug


class OrganizationUpdate(BaseModel):
    """Fields that are left out stay as they are."""

    name: Label | MISSING = MISSING
    slug: Slug | MISSING = MISSING


class OrganizationOut(BaseModel):
    """An organization as its member sees it.

    Attributes:
        role: the role of the caller.
    """

    id: int
    slug: str
    name: str
    role: Annotated[str, Field(description="Your role.")]
    created_at: datetime


class MemberOut(BaseModel):
    user_id: int
    username: str
    full_name: str | None
    email: Annotated[
        str | None,
        Field(description="Only for roles, and API keys, with the permission `members:write`."),
    ]
    role: str
    joined_at: datetime


class MemberUpdate(BaseModel):
    role: RoleName


class ServiceAccountCreate(BaseModel):
    name: Label
    role: RoleName


class ServiceAccountOut(BaseModel):
    """
    Attributes:
        id: the id of its user, also in events and of the member.
    """

    id: int
    name: str
    role: str
    created_at: datetime


class OwnershipTransfer(BaseModel):
    user_id: Annotated[RowRef, Field(description="The member who becomes an owner.")]


class InvitationCreate(BaseModel):
    email: Email
    role: RoleName


class InvitationOut(BaseModel):
    """An invitation that can still be accepted. Only the mail has its token."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    email: str
    role: str
    inviter_id: int
    created_at: datetime
    expires_at: datetime


class InvitationAccept(BaseModel):
    token: Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[\w-]+$")]
