"""The routes under `/health`."""

from plinth.health.routes import router

__all__ = ["router"]
