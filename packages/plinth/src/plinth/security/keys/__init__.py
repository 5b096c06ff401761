"""The keys of access tokens. One signs; older ones verify until their tokens have expired.

key.py    a key, bound to one algorithm
file.py   KEYS_FILE: a private JWK set that `plinth keys` changes
ring.py   the current keys of this process
"""

from plinth.security.keys.file import KeyFileError, format_date, read_keys, revoke_key, rotate_keys
from plinth.security.keys.key import CLOCK_SKEW, KINDS, Key, find_signing_key, in_order, make_key
from plinth.security.keys.ring import KeyRing, ring

__all__ = [
    "CLOCK_SKEW",
    "KINDS",
    "Key",
    "KeyFileError",
    "KeyRing",
    "find_signing_key",
    "format_date",
    "in_order",
    "make_key",
    "read_keys",
    "revoke_key",
    "ring",
    "rotate_keys",
]
