"""API keys: `plk_<live|test>_<id>_<secret>_<checksum>`.

base62.py   numbers as digits and letters
token.py    the parts of a key, its checksum and its hash
"""

from plinth.security.api_keys.token import (
    PATTERN,
    PREFIX,
    ApiKeyToken,
    find_environment,
    find_key_id,
    looks_like_key,
    make_api_key,
    make_prefix,
    parse_api_key,
)

__all__ = [
    "PATTERN",
    "PREFIX",
    "ApiKeyToken",
    "find_environment",
    "find_key_id",
    "looks_like_key",
    "make_api_key",
    "make_prefix",
    "parse_api_key",
]
