"""Settings, read once from the environment and `.env`.

An application adds settings with a subclass, `class Settings(config.Settings)`, and
`settings = bind(Settings)` in its `config.py`.
"""

from plinth.config.checks import MAKE_A_KEY
from plinth.config.loading import SettingsError, bind, bind_application, load_settings, settings
from plinth.config.organization_roles import OrganizationRoles
from plinth.config.password_rules import PasswordRules
from plinth.config.settings import Settings

__all__ = [
    "MAKE_A_KEY",
    "OrganizationRoles",
    "PasswordRules",
    "Settings",
    "SettingsError",
    "bind",
    "load_settings",
    "settings",
]

bind_application()
