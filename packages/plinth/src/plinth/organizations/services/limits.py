"""Rate limits of organizations. Each is checked before the work that it protects."""

from plinth.config import settings
from plinth.limits import Bucket
from plinth.limits.sign_in import reserve


async def limit_organizations(user_id: int) -> None:
    """Count an organization that a user creates.

    Raises:
        RateLimited
    """
    await reserve(
        Bucket.of("organization-user", settings.LIMIT_ORGANIZATION_USER, str(user_id)),
    )


async def limit_invitations(user_id: int, organization_id: int) -> None:
    """Count an invitation, each of which sends a mail.

    Raises:
        RateLimited
    """
    await reserve(
        Bucket.of("invite-user", settings.LIMIT_INVITE_USER, str(user_id)),
        Bucket.of("invite-organization", settings.LIMIT_INVITE_ORGANIZATION, str(organization_id)),
    )
