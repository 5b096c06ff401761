"""Declare the audience of a route and the number of its queries:

    @router.get("/{note_id}")
    @access(OWNER, queries=2)
    async def get_note(...)

The declaration enforces nothing. The dependencies of the route do (`CurrentUser`, `Superuser`, a
query by owner). The contract suite (`plinth.testing.contract`) calls every route in every role and
fails if the two differ.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

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


PUBLIC, USER, VERIFIED, OWNER, OWNER_OR_DENIED, SUPERUSER = Audience


@dataclass(frozen=True, slots=True)
class AccessDeclaration:
    """
    Attributes:
        queries: maximum number of statements of a successful request, including the one that
            authenticates the caller.
        fresh: the session must have authenticated within `STEP_UP_MINUTES`; otherwise 403
            `step_up_required`.
    """

    audience: Audience
    queries: int
    fresh: bool = False


def access(audience: Audience, *, queries: int, fresh: bool = False) -> Callable[[F], F]:
    """Declare who may call a route, and the maximum number of its queries. The contract suite
    calls the route in every role and counts its queries.

    Args:
        fresh: whether the route takes `FreshUser`, which requires a recent authentication.
    """

    def declare(endpoint: F) -> F:
        setattr(endpoint, ATTRIBUTE, AccessDeclaration(audience, queries, fresh))
        return endpoint

    return declare


def get_access(endpoint: Callable[..., Any]) -> AccessDeclaration | None:
    declaration: AccessDeclaration | None = getattr(endpoint, ATTRIBUTE, None)
    return declaration
