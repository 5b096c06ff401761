"""Read the settings, or end the process with a sentence for each fault."""

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
    """The settings are wrong; the text has a line for each fault.

    A SystemExit, so that uvicorn, alembic and `plinth` end with the text and without a traceback.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n  ".join(["Plinth cannot start:", *faults]))
        self.faults = faults


def load_settings(**overrides: Any) -> Settings:
    """Read the settings of the library: `read_settings`."""
    return read_settings(Settings, **overrides)


def read_settings(settings_class: type[SettingsT], **overrides: Any) -> SettingsT:
    """Read the settings as an object of that class.

    Raises:
        SettingsError: one line for each setting that is missing or wrong, none with its value.
    """
    odd_lines: list[str] = []
    file = settings_class.model_config["env_file"]
    try:
        odd_lines = _find_odd_lines(overrides.get("_env_file", file))
        settings = settings_class(**overrides)
    except ValidationError as error:
        faults = [fault.text for fault in read_faults(error)]
        raise SettingsError([*odd_lines, *faults]) from None
    except UnicodeDecodeError:
        raise SettingsError([f"{file} is not UTF-8: save it in that encoding"]) from None
    except OSError as error:
        raise SettingsError([f"{file} cannot be read ({error.strerror})"]) from None
    if odd_lines:
        raise SettingsError(odd_lines)
    return settings


def _find_odd_lines(given: object) -> list[str]:
    """Return a sentence for each line that python-dotenv would skip with a warning.

    Without them, or without a file that was named, the service would start with defaults.

    Raises:
        OSError: the file cannot be read, or was named and does not exist.
    """
    named = os.environ.get("PLINTH_ENV_FILE")
    if not (named or given):
        return []
    file = Path(str(named or given)).expanduser()
    try:
        with file.open(encoding="utf-8") as opened:
            odd = [each.original.line for each in parse_stream(opened) if each.error]
    except FileNotFoundError:
        if named:
            raise
        return []
    return [f"{file.name} line {line} is not NAME=value: correct it" for line in odd]
