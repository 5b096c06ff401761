"""Domain errors. Only `http/problems.py` maps them to HTTP responses.

::

    PlinthError
    ├── Rejected              the request is valid, but the operation is not allowed
    ├── Unauthenticated       the caller is unknown
    ├── PermissionDenied      the caller is known and lacks the privilege
    ├── NotFound              the row does not exist, or the caller may not see it
    ├── Conflict              the row conflicts with an existing one
    ├── VersionMismatch       the row was changed since the caller read it
    ├── Invalid               the database cannot store a value
    │   └── InvalidField      a rule rejects the value of a named field
    ├── RateLimited           too many attempts; retry later
    └── Unavailable           a dependency is down or overloaded; retry later
        ├── TimedOut          the database exceeded one of our time limits
        ├── Contended         a concurrent transaction interfered; nothing was changed
        └── OutcomeUnknown    the connection was lost during COMMIT: committed or not
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any, Self

from plinth.rates import Rate


class PlinthError(Exception):
    """
    Args:
        detail: a sentence for the user; default: the detail of the class.
        code: a stable name for programs; default: the code of the class.

    Attributes:
        commit_on_error: commit the transaction although this error is raised. For refusals that
            must leave a record: a reused refresh token revokes its session, and the response is
            401.
        members: more members of the problem document, as JSON values (RFC 9457, section 3.2).
    """

    code = "error"
    detail = "Something went wrong"
    commit_on_error = False
    members: Mapping[str, Any] = MappingProxyType({})

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
    detail = "This conflicts with an existing entry"


class VersionMismatch(PlinthError):
    code = "changed"
    detail = "This was changed in the meantime: load it again, then retry"


class Invalid(PlinthError):
    code = "invalid"
    detail = "The database cannot store one of the values"


@dataclass(frozen=True, slots=True)
class ExceededLimit:
    """
    Attributes:
        wait: seconds until the limit accepts another attempt.
    """

    name: str
    rate: Rate
    wait: int


class RateLimited(PlinthError):
    """
    Attributes:
        retry_after: seconds until every limit accepts another attempt.
        is_first: first refusal within the window. Record only this one: an attacker could flood
            the records otherwise.
    """

    code = "too_many_attempts"
    detail = "Too many attempts; try again later"

    def __init__(self, exceeded: Sequence[ExceededLimit], *, is_first: bool = False) -> None:
        super().__init__()
        self.exceeded = exceeded
        self.retry_after = max(limit.wait for limit in exceeded)
        self.is_first = is_first


class InvalidField(Invalid):
    """Gives the same 422 response as a validation error of FastAPI.

    Args:
        field: name of the field as the client sent it.
        reason: follows the name in the message: "must not be empty".
        kind: a stable name of the reason, for programs.
        location: "body", "query" or "header".
    """

    code = "validation_error"

    def __init__(self, field: str, reason: str, *, kind: str, location: str = "body") -> None:
        super().__init__(f"{field} {reason}")
        self.field = field
        self.reason = reason
        self.kind = kind
        self.location = location


class Unavailable(PlinthError):
    """
    Attributes:
        retry_after: seconds until a retry makes sense.
    """

    code = "unavailable"
    detail = "The service is temporarily unavailable; try again later"

    def __init__(
        self, detail: str | None = None, *, code: str | None = None, retry_after: int = 1
    ) -> None:
        super().__init__(detail, code=code)
        self.retry_after = retry_after


class TimedOut(Unavailable):
    detail = "The database did not finish within the time limit (timeout); try again later"


class Contended(Unavailable):
    code = "contended"
    detail = "Another request changed the same data at the same time; nothing was saved, try again"


class OutcomeUnknown(Unavailable):
    code = "unresolved"
    detail = "The change may or may not have been saved: check before you repeat it"


class PlinthDeprecationWarning(DeprecationWarning):
    """A name or setting that the next major version removes (docs/how-to/upgrades.md)."""


def warn_deprecated(old: str, new: str, *, removed_in: str, stacklevel: int = 3) -> None:
    """Warn that a name is deprecated.

    Args:
        new: the replacement.
        removed_in: the version that removes the old name: "3.0".
        stacklevel: of `warnings.warn`; 3 is the caller of the function that calls this one.
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
        moved: new location of each old name, as "module:attribute".
    """

    def get_moved(name: str) -> Any:
        if name not in moved:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        new_module, _, attribute = moved[name].partition(":")
        warn_deprecated(f"{module}.{name}", f"{new_module}.{attribute}", removed_in=removed_in)
        return getattr(import_module(new_module), attribute)

    return get_moved
