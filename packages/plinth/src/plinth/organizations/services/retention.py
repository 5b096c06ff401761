"""The rules by which old rows of all tables of the library are deleted.

They are those of `plinth.accounts.services.retention`, and those of the tables of organizations.
"""

from datetime import timedelta

from plinth.accounts.services import retention
from plinth.db.retention import RetentionRule, in_order_of
from plinth.organizations.models import Invitation, ReleasedSlug

INVITATION_AGE = timedelta(days=30)  # until then, the invited user reads that it expired
SLUG_AGE = timedelta(days=90)  # as in the trigger `refuse_released_slug`

RULES = (
    *retention.RULES,
    RetentionRule(
        "invitations",
        in_order_of(Invitation, Invitation.expires_at, older_than=lambda: INVITATION_AGE),
    ),
    RetentionRule(
        "released_slugs",
        in_order_of(ReleasedSlug, ReleasedSlug.released_at, older_than=lambda: SLUG_AGE),
    ),
)
