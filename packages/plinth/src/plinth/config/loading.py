"""Read the settings into one object, or exit with a message for each fault."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar, cast

from dotenv.parser import parse_stream
from pydantic import ValidationError

from plinth import project
from plinth.config.faults import read_faults
from plinth.config.settings import Settings

SettingsT = TypeVar("SettingsT", bound=Settings)

# Empty until `bind`; reading a setting before raises AttributeError. Modules that import it keep
# the same object. Reading a plain attribute is 15 times as fast as through a proxy.
settings = Settings.__new__(Settings)


class SettingsError(SystemExit):
    """The settings are invalid; the text has a line per fault.

    A SystemExit, so that uvicorn, alembic and `plinth` print the text without a traceback.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n  ".join(["Plinth cannot start:", *faults]))
        self.faults = faults


def load_settings(**overrides: Any) -> Settings:
    """Read the settings of the library, like `read_settings`."""
    return read_settings(Settings, **overrides)


def read_settings(settings_class: type[SettingsT], **overrides: Any) -> SettingsT:
    """Read the settings as an object of that class.

    Raises:
        SettingsError: one line for each missing or invalid setting, without its value.
    """
    invalid_lines: list[str] = []
    file = settings_class.model_config["env_file"]
    try:
        invalid_lines = _find_invalid_lines(overrides.get("_env_file", file))
        settings = settings_class(**overrides)
    except ValidationError as error:
        faults = [fault.text for fault in read_faults(error)]
        raise SettingsError([*invalid_lines, *faults]) from None
    except UnicodeDecodeError:
        raise SettingsError([f"{file} is not UTF-8: save it in that encoding"]) from None
    except OSError as error:
        raise SettingsError([f"{file} cannot be read ({error.strerror})"]) from None
    if invalid_lines:
        raise SettingsError(invalid_lines)
    return settings


def _find_invalid_lines(default: object) -> list[str]:
    """Return a message for each line that python-dotenv would skip with a warning.

    The service would start with defaults instead of the values on these lines.

    Raises:
        OSError: the file cannot be read, or PLINTH_ENV_FILE is set and the file does not exist.
    """
    configured = os.environ.get("PLINTH_ENV_FILE")
    if not (configured or default):
        return []
    file = Path(str(configured or default)).expanduser()
    try:
        with file.open(encoding="utf-8") as opened:
            numbers = [it.original.line for it in parse_stream(opened) if it.error]
    except FileNotFoundError:
        if configured:
            raise
        return []
    return [f"{file.name} line {number} is not NAME=value: correct it" for number in numbers]


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
