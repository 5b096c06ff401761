"""Renamed settings. The old names work with a warning until their removal."""

import logging
import os
from typing import Any, NamedTuple

from plinth.errors import warn_deprecated

logger = logging.getLogger(__name__)


class Renamed(NamedTuple):
    new: str
    removed_in: str


# The old name, such as "PAGE_SIZE": Renamed("DEFAULT_PAGE_SIZE", "3.0").
RENAMED: dict[str, Renamed] = {}


def rename_deprecated(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values under their new names. If both names are set, the new one applies."""
    renamed = dict(values)
    for old, (new, removed_in) in RENAMED.items():
        # pydantic-settings reads all names in .env, but only those of fields in the environment.
        value = renamed.pop(old, None) or os.environ.get(old)
        if value:
            renamed.setdefault(new, value)
            warn_deprecated(old, new, removed_in=removed_in)
            # Python hides DeprecationWarning by default, so operators would not see it.
            logger.warning("The setting %s is deprecated: set %s instead", old, new)
    return renamed
