"""Declare the audience of a route and the number of its queries:

    @router.get("/{note_id}")
    @access(OWNER, queries=2)
    async def get_note(...)

The audience enforces nothing. The dependencies of the route do (`CurrentUser`, `Superuser`, a query
by owner). The contract suite (`plinth.testing.contract`) calls every route in every role and fails
if the two differ.

The permission enforces: the dependency that authenticates the caller reads it from the endpoint of
the request (`find_permission`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from fastapi import FastAPI
from starlette.types import Scope

from plinth.config.organization_roles import PERMISSION
from plinth.http.routes import walk_routes

F = TypeVar("F", bound=Callable[..., Any])

ATTRIBUTE = "__access__"


class Audience(StrEnum):
    PUBLIC = "public"
    """Everyone."""
    USER = "user"
    """Signed-in users; 401 for others."""
    VERIFIED = "verified"
    """Users with a confirmed e-mail address; 403 for others."""
    OWNER = "owner"
    """The owner of the row, and superusers; 404 for others, and lists omit the row."""
    OWNER_OR_DENIED = "owner or denied"
    """The owner of the row, and superusers; 403 for others, which reveals that the row exists."""
    SUPERUSER = "superuser"
    """Superusers; 403 for others."""
    MEMBER = "member"
    """Members of the organization of the path; 404 for others, and 403 `permission_denied` for
    members whose role lacks the declared permission."""


PUBLIC, USER, VERIFIED, OWNER, OWNER_OR_DENIED, SUPERUSER, MEMBER = Audience


@dataclass(frozen=True, slots=True)
class AccessDeclaration:
    """
    Attributes:
        queries: maximum number of statements of a successful request, including the one that
            authenticates the caller.
        fresh: the session must have authenticated within `STEP_UP_MINUTES`; otherwise 403
            `step_up_required`.
        permission: `<resource>:<action>`, which the role of a member and the scopes of an API key
            must include; None if no permission is needed. API keys reach no route without one.
    """

    audience: Audience
    queries: int
    fresh: bool = False
    permission: str | None = None


def access(
    audience: Audience, *, queries: int, fresh: bool = False, permission: str | None = None
) -> Callable[[F], F]:
    """Declare who may call a route, and the maximum number of its queries. The contract suite
    calls the route in every role and counts its queries.

    Args:
        fresh: whether the route takes a user who authenticated recently, such as `FreshUser`.
        permission: `<resource>:<action>`, for example `invoices:write`.

    Raises:
        ValueError: the permission has another form.
    """
    if permission is not None and not PERMISSION.fullmatch(permission):
        raise ValueError(
            f"permission={permission!r} of @access must have the form `<resource>:<action>` in "
            "lower case, for example `invoices:write`"
        )

    def declare(endpoint: F) -> F:
        setattr(endpoint, ATTRIBUTE, AccessDeclaration(audience, queries, fresh, permission))
        return endpoint

    return declare


def get_access(endpoint: Callable[..., Any]) -> AccessDeclaration | None:
    declaration: AccessDeclaration | None = getattr(endpoint, ATTRIBUTE, None)
    return declaration


def list_permissions(app: FastAPI) -> frozenset[str]:
    """Return the permissions that the routes of an application declare."""
    declarations = (get_access(route.endpoint) for route in walk_routes(app) if route.endpoint)
    return frozenset(it.permission for it in declarations if it and it.permission)


def find_permission(scope: Scope) -> str | None:
    """Return the permission that the endpoint of the request declares."""
    declaration = getattr(scope.get("endpoint"), ATTRIBUTE, None)
    return declaration.permission if declaration else None
