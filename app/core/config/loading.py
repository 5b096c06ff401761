"""How a process reads its settings, and how it ends when they are wrong."""

from typing import Any

from pydantic import ValidationError

from app.core.config.settings import Settings


class SettingsError(SystemExit):
    """The settings are wrong; the text has a line for each fault.

    A SystemExit, so that uvicorn, alembic and `plinth` end with the text and without a traceback.
    """


def load_settings(**overrides: Any) -> Settings:
    """Read the settings.

    Raises:
        SettingsError: one line for each setting that is missing or wrong, none with its value.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = [_describe(detail) for detail in error.errors(include_input=False)]
        raise SettingsError("Plinth cannot start:\n" + "\n".join(lines)) from None
    except UnicodeDecodeError:
        raise SettingsError("Plinth cannot start:\n  .env is not UTF-8") from None
    except (OSError, ValueError) as error:
        # pydantic-settings' own: a list that is not JSON, a .env that cannot be read
        raise SettingsError(f"Plinth cannot start:\n  {error} (a list is JSON)") from None


def _describe(detail: Any) -> str:
    name = ".".join(str(part) for part in detail["loc"])
    message = detail["msg"].removeprefix("Value error, ")
    return f"  {name}: {message}" if name else f"  {message}"
