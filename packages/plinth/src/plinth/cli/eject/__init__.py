"""Which routers of the library `plinth eject` copies, and how a copy records where it is from."""

import re
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

# As app/api/v1/__init__.py calls them.
ROUTERS = {
    "credentials": "plinth.accounts.routes.credentials",
    "health": "plinth.health.routes",
    "sessions": "plinth.accounts.routes.auth",
    "user_sessions": "plinth.accounts.routes.user_sessions",
}
DIGITS = 12  # of a SHA-256, which tell one version of a file from another
ORIGIN = "# Ejected from {module} {version} ({digest})"
EJECTED = re.compile(
    r"^# Ejected from (?P<module>\S+) (?P<version>\S+) \((?P<digest>[0-9a-f]{12})\)$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Origin:
    """
    Attributes:
        digest: of the library's file when it was copied.
    """

    module: str
    version: str
    digest: str

    @property
    def has_changed(self) -> bool:
        """Whether the library's file is another one now, or gone."""
        source = read_source(self.module)
        return source is None or self.digest not in origin_line(self.module, source)


def origin_line(module: str, source: str) -> str:
    """Return the first line of a copy."""
    digest = sha256(source.encode()).hexdigest()[:DIGITS]
    return ORIGIN.format(module=module, version=version("plinth-backend"), digest=digest)


def read_origin(text: str) -> Origin | None:
    """Return where an application's module was copied from; None for any other module."""
    found = EJECTED.search(text)
    return Origin(**found.groupdict()) if found else None


def read_source(module: str) -> str | None:
    """Return the text of a module of the library without importing it; None if it is gone."""
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:  # of a package above it
        return None
    return Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else None
