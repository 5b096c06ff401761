"""Settings, read once from the environment and `.env`."""

from plinth.core.config.checks import MAKE_A_KEY
from plinth.core.config.loading import SettingsError, load_settings
from plinth.core.config.settings import Settings

__all__ = ["MAKE_A_KEY", "Settings", "SettingsError", "load_settings", "settings"]

settings = load_settings()
