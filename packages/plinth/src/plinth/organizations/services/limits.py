"""Rate limits of organizations. Each is checked before the work that it protects."""

from plinth.config import settings
from plinth.limits import Bucket
from plinth.limits.sign_in import reserve


async def limit_slugs(user_id: int) -> None:
    """Count a slug that a user takes, for a new organization or by a change.

    A slug that is given up stays reserved for 90 days, so without a limit one user could reserve
    any number.

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
