"""The settings, read once from the environment and `.env`."""

from plinth.core.config import Settings, settings

__all__ = ["Settings", "settings"]
