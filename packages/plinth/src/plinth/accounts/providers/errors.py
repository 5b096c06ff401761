"""Errors of identity providers."""

from plinth.errors import Rejected, Unavailable


class ProviderUnavailable(Unavailable):
    code = "provider_unavailable"
    detail = "The identity provider does not respond; try again later"


class ProviderRefused(Rejected):
    """The provider's response cannot be accepted.

    Args:
        reason: for the audit log, not for the client.
    """

    code = "provider_refused"
    detail = "The sign-in at the identity provider failed: start again"

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason
