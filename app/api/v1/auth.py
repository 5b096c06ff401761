"""The routes under `/auth`: `leaving` needs an access token, `router` does not."""

from plinth.api.v1.auth import leaving, router

__all__ = ["leaving", "router"]
