"""Read the settings, or end the process with a sentence for each fault."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from app.core.config.faults import read_faults
from app.core.config.settings import Settings


class SettingsError(SystemExit):
    """The settings are wrong; the text has a line for each fault.

    A SystemExit, so that uvicorn, alembic and `plinth` end with the text and without a traceback.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n  ".join(["Plinth cannot start:", *faults]))
        self.faults = faults


def load_settings(**overrides: Any) -> Settings:
    """Read the settings.

    Raises:
        SettingsError: one line for each setting that is missing or wrong, none with its value.
    """
    try:
        _check_named_file()
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsError([fault.text for fault in read_faults(error)]) from None
    except UnicodeDecodeError:
        raise SettingsError([f"{_env_file()} is not UTF-8: save it in that encoding"]) from None
    except OSError as error:
        raise SettingsError([f"{_env_file()} cannot be read ({error.strerror})"]) from None


def _check_named_file() -> None:
    """Without it the service would start with the defaults of all that stands in it."""
    if named := os.environ.get("PLINTH_ENV_FILE"):
        with Path(named).expanduser().open("rb"):
            pass


def _env_file() -> str:
    return str(Settings.model_config["env_file"])
