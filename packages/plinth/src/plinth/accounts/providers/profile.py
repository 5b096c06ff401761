"""The statements of a provider about an account."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from plinth.resources.fields import Email, FullName, Username


class Profile(NamedTuple):
    """
    Attributes:
        issuer: with `subject`, the unchangeable key of the account.
        email: None if the provider sent no address that an account can have.
        email_verified: whether the provider has verified the address.
        username: a proposal.
        auth_time: when the provider authenticated the user, in seconds since 1970; None if it does
            not state that. A live session at the provider may have answered without the user.
    """

    issuer: str
    subject: str
    email: str | None
    email_verified: bool
    username: str | None
    full_name: str | None
    auth_time: float | None = None

    @property
    def authenticated_at(self) -> datetime:
        """When the user authenticated: in 1970, and so not recently, if that is not known."""
        return datetime.fromtimestamp(self.auth_time or 0, UTC)


_email, _username = TypeAdapter[str](Email), TypeAdapter[str](Username)
_full_name = TypeAdapter[str](FullName)


def make_profile(
    issuer: str,
    subject: str,
    *,
    email: Any,
    email_verified: Any,
    username: Any,
    full_name: Any,
    auth_time: float | None = None,
) -> Profile:
    """
    Args:
        email_verified: only `True` counts, not a text.
    """
    address = _clean(_email, email)
    return Profile(
        issuer=issuer,
        subject=subject,
        email=address,
        email_verified=address is not None and email_verified is True,
        username=_clean(_username, username),
        full_name=_clean(_full_name, full_name),
        auth_time=auth_time,
    )


def _clean(kind: TypeAdapter[str], value: Any) -> str | None:
    """Return the value as an account stores it; None if it cannot have the value."""
    try:
        return kind.validate_python(value, strict=True) if isinstance(value, str) else None
    except ValidationError:
        return None
