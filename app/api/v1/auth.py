"""The routes under `/auth`: `leaving` needs an access token, `router` does not."""

from plinth.accounts.routes.auth import leaving, router

__all__ = ["leaving", "router"]
