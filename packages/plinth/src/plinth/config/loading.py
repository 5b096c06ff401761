"""Read the settings, or exit with a message for each fault."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from dotenv.parser import parse_stream
from pydantic import ValidationError

from plinth.config.faults import read_faults
from plinth.config.settings import Settings

SettingsT = TypeVar("SettingsT", bound=Settings)


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
