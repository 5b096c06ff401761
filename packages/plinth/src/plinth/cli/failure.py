"""How a command ends that cannot do its work: with a sentence, and exit code 1."""

from urllib.parse import unquote

from plinth.devservices.errors import EmbeddedError
from plinth.errors import PlinthError


class Failure(Exception):
    """Its text is for the person at the terminal: what is the matter, and what to do."""


def explain(error: Exception) -> str | None:
    """The sentence for an error that is no fault of this program; None for one that is."""
    return str(error) if isinstance(error, (Failure, EmbeddedError, PlinthError)) else None


def describe(url: str) -> str:
    """The URL as one may show it: without passwords."""
    # By hand: urllib drops the // before an empty host, and libpq and asyncpg need it.
    scheme, _, rest = url.partition("://")
    address, mark, query = rest.partition("?")
    user, at, place = address.rpartition("@")
    pairs = [pair for pair in query.split("&") if "password" not in unquote(pair.partition("=")[0])]
    return f"{scheme}://{user.partition(':')[0]}{at}{place}{mark}{'&'.join(pairs)}"
