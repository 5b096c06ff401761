"""Organizations: groups of users who share data, with roles and invitations.

The functions work in the caller's transaction and do not commit.
"""

from typing import TYPE_CHECKING

from plinth import import_on_use

if TYPE_CHECKING:
    from plinth.organizations.services.members import add_member
    from plinth.organizations.services.organizations import create_organization
else:  # the models import this package before the services
    __getattr__ = import_on_use(
        __name__,
        {
            "add_member": "organizations.services.members",
            "create_organization": "organizations.services.organizations",
        },
    )

__all__ = ["add_member", "create_organization"]
