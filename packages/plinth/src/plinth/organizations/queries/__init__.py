"""The queries of organizations: `queries.organization.lock(db, id)`."""

from plinth.organizations.queries import invitation, member, organization, service_account

__all__ = ["invitation", "member", "organization", "service_account"]
