"""The statements of a provider about an account."""

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
    """

    issuer: str
    subject: str
    email: str | None
    email_verified: bool
    username: str | None
    full_name: str | None


_email, _username = TypeAdapter[str](Email), TypeAdapter[str](Username)
_full_name = TypeAdapter[str](FullName)


def make_profile(
    issuer: str, subject: str, *, email: Any, email_verified: Any, username: Any, full_name: Any
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
    )


def _clean(kind: TypeAdapter[str], value: Any) -> str | None:
    """Return the value as an account stores it; None if it cannot have the value."""
    try:
        return kind.validate_python(value, strict=True) if isinstance(value, str) else None
    except ValidationError:
        return None
