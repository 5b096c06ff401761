"""Who may use a route, and how many queries it may make, said beside it:

    @router.get("/{note_id}")
    @access(OWNER, queries=2)
    async def get_note(...)

This declares; it does not enforce. What enforces is the route's own types (`CurrentUser`,
`Superuser`, a look-up through the owner), so that dropping one of them contradicts what stands
beside it, and the contract suite (`plinth.testing.contract`) fails: it calls every route in every
role.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

ATTRIBUTE = "__access__"


class Audience(StrEnum):
    PUBLIC = "public"
    """Anyone."""
    USER = "user"
    """Whoever is signed in: 401 for others."""
    VERIFIED = "verified"
    """A user whose e-mail address is confirmed: 403 for others."""
    OWNER = "owner"
    """The one whose it is, and superusers: 404 for others, and a list without it."""
    OWNER_OR_DENIED = "owner or denied"
    """The one whose it is, and superusers: 403 for others, who may know that it is there."""
    SUPERUSER = "superuser"
    """403 for others."""


PUBLIC, USER, VERIFIED, OWNER, OWNER_OR_DENIED, SUPERUSER = Audience


@dataclass(frozen=True, slots=True)
class AccessDeclaration:
    """
    Attributes:
        queries: the most statements that the route sends when it does what it is asked to, with
            the one that finds out who asks.
    """

    who: Audience
    queries: int


def access(who: Audience, *, queries: int) -> Callable[[F], F]:
    def declare(endpoint: F) -> F:
        setattr(endpoint, ATTRIBUTE, AccessDeclaration(who, queries))
        return endpoint

    return declare


def get_access(endpoint: Callable[..., Any]) -> AccessDeclaration | None:
    found: AccessDeclaration | None = getattr(endpoint, ATTRIBUTE, None)
    return found
