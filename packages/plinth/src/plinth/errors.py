"""What can go wrong, as meanings. `http/problems.py` alone turns them into HTTP.

PlinthError
├── Rejected          the request is understood, and is not done
├── Unauthenticated   who asks is not known
├── Denied            who asks is known, and may not
├── NotFound          it is not there, or not there for the one who asks
├── Conflict          it clashes with what is there
├── Changed           it is not any more as the one who asks knows it
├── Invalid           a value that the database cannot hold
│   └── InvalidField  a value that a rule refuses, with the field that has it
├── TooMany           tried too often; later it is done
└── Unavailable       not now: something is away or busy
    ├── TimedOut      the database took longer than a time limit of ours
    ├── Contended     another transaction was in the way; nothing was done
    └── Unresolved    it may be done or not: the answer to the commit was lost
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Self

from plinth.rates import Rate


class PlinthError(Exception):
    """
    Args:
        detail: a sentence for the person who reads the answer.
        code: a stable name for the program that reads it; the class's own where none is given.

    Attributes:
        commit_on_error: commit the transaction although this error is raised. For refusals that
            must leave a record: a reused refresh token revokes its session, and the response is
            401.
    """

    code = "error"
    detail = "Something went wrong"
    commit_on_error = False

    def __init__(self, detail: str | None = None, *, code: str | None = None) -> None:
        self.detail = detail or self.detail
        self.code = code or self.code
        super().__init__(self.detail)


class Rejected(PlinthError):
    code = "rejected"


class Unauthenticated(PlinthError):
    code = "unauthenticated"
    detail = "Could not validate credentials"


class PermissionDenied(PlinthError):
    code = "denied"
    detail = "The user doesn't have enough privileges"


class NotFound(PlinthError):
    code = "not_found"
    detail = "Not found"

    @classmethod
    def of(cls, name: str) -> Self:
        """Return the error for something that is missing, by its name in snake case.

        Of `blog_post` the code is `blog_post_not_found` and the detail "Blog post not found".
        """
        return cls(f"{name.replace('_', ' ').capitalize()} not found", code=f"{name}_not_found")


class Conflict(PlinthError):
    code = "conflict"
    detail = "This clashes with something that exists"


class VersionMismatch(PlinthError):
    code = "changed"
    detail = "This was changed meanwhile: get it again, and decide anew"


class Invalid(PlinthError):
    code = "invalid"
    detail = "A value cannot be stored"


@dataclass(frozen=True, slots=True)
class UsedUp:
    """A limit that has no room left.

    Attributes:
        wait: seconds until it has.
    """

    name: str
    rate: Rate
    wait: int


class RateLimited(PlinthError):
    """
    Attributes:
        retry_after: seconds after which there is room.
        is_first: nobody was told so within the last window; a trace of each would be a flood.
    """

    code = "too_many_attempts"
    detail = "Too many attempts; try again later"

    def __init__(self, used_up: Sequence[UsedUp], *, is_first: bool = False) -> None:
        super().__init__()
        self.used_up = used_up
        self.retry_after = max(limit.wait for limit in used_up)
        self.is_first = is_first


class InvalidField(Invalid):
    """Answers as a value does that is refused where it comes in.

    Args:
        field: its name where it came in.
        reason: what is read after the name, such as "must not be empty".
        kind: a stable name of the reason, for the program that reads it.
        where: "body", "query" or "header".
    """

    code = "validation_error"

    def __init__(self, field: str, reason: str, *, kind: str, where: str = "body") -> None:
        super().__init__(f"{field} {reason}")
        self.field = field
        self.reason = reason
        self.kind = kind
        self.where = where


class Unavailable(PlinthError):
    """
    Attributes:
        retry_after: seconds after which trying again makes sense.
    """

    code = "unavailable"
    detail = "The service is not available right now"

    def __init__(
        self, detail: str | None = None, *, code: str | None = None, retry_after: int = 1
    ) -> None:
        super().__init__(detail, code=code)
        self.retry_after = retry_after


class TimedOut(Unavailable):
    detail = "The database did not finish this within its time limit (timeout)"


class Contended(Unavailable):
    code = "contended"
    detail = "Somebody else changed the same at the same time; nothing was done"


class OutcomeUnknown(Unavailable):
    code = "unresolved"
    detail = "It is not known whether this was done: look before you repeat it"


class PlinthDeprecationWarning(DeprecationWarning):
    """A name or a setting that a later major version removes: docs/how-to/upgrades.md."""


def warn_deprecated(old: str, new: str, *, removed_in: str, stacklevel: int = 3) -> None:
    """Warn that a name is deprecated.

    Args:
        new: what to use instead.
        removed_in: the version that removes the old name, such as "3.0".
        stacklevel: as `warnings.warn` counts; 3 is the caller of the function that calls this one.
    """
    text = f"{old} is deprecated and will be removed in plinth-backend {removed_in}: use {new}"
    warnings.warn(text, PlinthDeprecationWarning, stacklevel=stacklevel)


def resolve_moved(
    module: str, moved: Mapping[str, str], *, removed_in: str
) -> Callable[[str], Any]:
    """Return the `__getattr__` of a module whose names moved.

    ```python
    __getattr__ = resolve_moved(__name__, {"old": "plinth.http.routes:new"}, removed_in="3.0")
    ```

    Args:
        moved: the old name, and where it is now.
    """

    def find(name: str) -> Any:
        if name not in moved:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        place, _, attribute = moved[name].partition(":")
        warn_deprecated(f"{module}.{name}", f"{place}.{attribute}", removed_in=removed_in)
        return getattr(import_module(place), attribute)

    return find
