"""The settings, read once from the environment and `.env`."""

from plinth import config
from plinth.config import bind

__all__ = ["Settings", "settings"]


class Settings(config.Settings):
    """Your own settings: a name, a type and a default for each."""


settings = bind(Settings)
