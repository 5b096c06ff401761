"""Settings, read once from the environment and `.env`.

An application adds its own by a subclass: `class Settings(config.Settings)`, then
`settings = bind(Settings)` in its `core/config.py`.
"""

from plinth.core.config.binding import bind, bind_application, settings
from plinth.core.config.checks import MAKE_A_KEY
from plinth.core.config.loading import SettingsError, load_settings
from plinth.core.config.settings import Settings

__all__ = ["MAKE_A_KEY", "Settings", "SettingsError", "bind", "load_settings", "settings"]

bind_application()
