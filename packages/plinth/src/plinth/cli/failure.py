"""Errors of commands: a message without a traceback, and exit code 1."""

from urllib.parse import unquote

from plinth.devservices import EmbeddedError
from plinth.errors import PlinthError


class Failure(Exception):
    """An error with a message for the user: what is wrong, and what to do."""


def message_for(error: Exception) -> str | None:
    """Return the message of an expected error; None for a bug, which needs its traceback."""
    return str(error) if isinstance(error, (Failure, EmbeddedError, PlinthError)) else None


def describe(url: str) -> str:
    """Return a URL without its passwords."""
    # Not with urllib, which drops the // before an empty host; libpq and asyncpg need it.
    scheme, _, rest = url.partition("://")
    address, mark, query = rest.partition("?")
    user, at, host = address.rpartition("@")
    pairs = [pair for pair in query.split("&") if "password" not in unquote(pair.partition("=")[0])]
    return f"{scheme}://{user.partition(':')[0]}{at}{host}{mark}{'&'.join(pairs)}"
