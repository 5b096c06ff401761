"""The queries of organizations: `queries.organization.lock(db, id)`."""

from plinth.organizations.queries import invitation, member, organization

__all__ = ["invitation", "member", "organization"]
