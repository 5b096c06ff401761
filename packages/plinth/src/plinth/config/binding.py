"""One settings object for the library and the application that extends its class."""

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import TypeVar, cast

from plinth import project
from plinth.config.loading import read_settings
from plinth.config.settings import Settings

SettingsT = TypeVar("SettingsT", bound=Settings)

# Empty until `bind`; reading a setting before raises AttributeError. Modules that import it keep
# the same object. Reading a plain attribute is 15 times as fast as through a proxy.
settings = Settings.__new__(Settings)


def bind(settings_class: type[SettingsT]) -> SettingsT:
    """Read the settings as `settings_class`, also for the library.

    Returns:
        The library's `settings` object, whose class is now `settings_class`.

    Raises:
        SettingsError: one line for each setting that is missing or wrong.
    """
    loaded = read_settings(settings_class)
    object.__setattr__(settings, "__class__", settings_class)
    settings.__setstate__(loaded.__getstate__())
    return cast("SettingsT", settings)


def bind_application() -> None:
    """Import the application's `core.config`, which binds its class; without one, bind `Settings`.

    If that module is already being imported, `Settings` is bound first and its class later.
    """
    name = f"{project.find_package()}.core.config"
    if name not in sys.modules and _exists(name):
        import_module(name)
    if not settings.__dict__:
        bind(Settings)


def _exists(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # a parent package does not exist
        return False
