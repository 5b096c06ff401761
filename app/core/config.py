"""The settings, read once from the environment and `.env`."""

from plinth import config
from plinth.config import bind

__all__ = ["Settings", "settings"]


class Settings(config.Settings):
    """Add a setting as `PAGE_TITLE: str = "Shop"`; it is read from the environment and `.env`."""


settings = bind(Settings)
