"""Settings, read once from the environment and `.env`: `from app.core.config import settings`."""

from app.core.config.checks import MAKE_A_KEY
from app.core.config.loading import SettingsError, load_settings
from app.core.config.settings import Settings

__all__ = ["MAKE_A_KEY", "Settings", "SettingsError", "load_settings", "settings"]

settings = load_settings()
