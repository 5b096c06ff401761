"""Decide whether the fast paths are used; docs/explanation/decisions/fast-paths.md."""

import logging
import re
from importlib.metadata import version

from plinth.config import settings
from plinth.config.private_names import TESTED

logger = logging.getLogger(__name__)

RELEASE = re.compile(r"\d+(\.\d+)*")
DISPATCH = ("fastapi", "starlette")
READING = ("sqlalchemy",)


def are_on(libraries: tuple[str, ...]) -> bool:
    return find_reason_off(libraries) is None


def find_reason_off(libraries: tuple[str, ...]) -> str | None:
    """Return why the fast paths into these libraries must be off, or None."""
    if not settings.PLINTH_FAST_PATHS:
        return "PLINTH_FAST_PATHS=off"
    for library in libraries:
        lowest, highest = TESTED[library]
        installed = version(library)
        if not _is_between(lowest, installed, highest):
            span = lowest if lowest == highest else f"{lowest} to {highest}"
            return f"{library} {installed} is installed, but they are tested with {span}"
    return None


def log_state() -> None:
    """Log the fast paths that are off, and the reason."""
    reasons = {
        "requests": find_reason_off(DISPATCH),
        "reads from the database": find_reason_off(READING),
    }
    for reason in dict.fromkeys(filter(None, reasons.values())):
        names = " and ".join(name for name, other in reasons.items() if other == reason)
        logger.warning("fast paths for %s are off, ordinary paths are used: %s", names, reason)


def _is_between(lowest: str, installed: str, highest: str) -> bool:
    if not RELEASE.fullmatch(installed):
        return False  # a pre-release or a local build
    low, it, high = (tuple(map(int, text.split("."))) for text in (lowest, installed, highest))
    return low <= it <= high
