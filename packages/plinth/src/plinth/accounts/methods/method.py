from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession


@dataclass(frozen=True, slots=True)
class Method:
    """A second factor.

    Attributes:
        use: verify and use up a code of the user, whose row is locked. A code counts once.
    """

    name: str
    use: Callable[[AsyncSession, int, str], Awaitable[bool]]
