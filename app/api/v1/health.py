"""The routes under `/health`."""

from plinth.api.v1.health import router

__all__ = ["router"]
