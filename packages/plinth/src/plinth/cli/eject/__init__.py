"""The routers that `plinth eject` can copy, and the origin that a copy records."""

import re
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

# By their names in app/api/v1/__init__.py.
ROUTERS = {
    "api_keys": "plinth.accounts.routes.api_keys",
    "credentials": "plinth.accounts.routes.credentials",
    "health": "plinth.health.routes",
    "sessions": "plinth.accounts.routes.auth",
    "user_sessions": "plinth.accounts.routes.user_sessions",
}
DIGITS = 12  # of the SHA-256 of a file
ORIGIN = "# Ejected from {module} {version} ({digest})"
EJECTED = re.compile(
    r"^# Ejected from (?P<module>\S+) (?P<version>\S+) \((?P<digest>[0-9a-f]{12})\)$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Origin:
    """
    Attributes:
        digest: of the library's file at the time of the copy.
    """

    module: str
    version: str
    digest: str

    @property
    def has_changed(self) -> bool:
        """Return whether the library's file has changed or was removed."""
        source = read_source(self.module)
        return source is None or self.digest not in origin_line(self.module, source)


def origin_line(module: str, source: str) -> str:
    """Return the first line of a copy."""
    digest = sha256(source.encode()).hexdigest()[:DIGITS]
    return ORIGIN.format(module=module, version=version("plinth-backend"), digest=digest)


def read_origin(text: str) -> Origin | None:
    """Return the origin of an ejected module; None for any other module."""
    match = EJECTED.search(text)
    return Origin(**match.groupdict()) if match else None


def read_source(module: str) -> str | None:
    """Return the source of a library module without importing it; None if it does not exist."""
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:  # a parent package does not exist
        return None
    return Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else None
