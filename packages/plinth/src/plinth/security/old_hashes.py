"""Hashes of passwords that other systems made: bcrypt, Django's PBKDF2, scrypt.

A stored hash names its own cost. One that came with an import must not take the server down, so
each kind has bounds, well above what its makers advise and below about a second of a core.
"""

import base64
import hashlib
import re
from collections.abc import Callable
from hmac import compare_digest

import bcrypt

BCRYPT_ROUNDS = range(4, 15)
BCRYPT_READS = 72  # bytes; what came after them was never part of an old hash
MAX_PBKDF2_ITERATIONS = 2_000_000
MAX_SCRYPT_BYTES = 128 * 2**20  # bytes, 128 N r
MAX_SCRYPT_WORK = 2**21  # N r p
SCRYPT_MARGIN = 2**20  # bytes that OpenSSL wants beside

SECRET = ("salt", "key")
BASE64 = r"[A-Za-z0-9+/]"


class UnfitHash(ValueError):
    """A hash that no password is compared with. The text names the reason, never the hash."""


Verifier = Callable[[bytes], bool]


def find_verifier(stored: str) -> Verifier | None:
    """What compares a password with this hash; None where it is none of these kinds.

    Raises:
        UnfitHash: it asks for more than the bounds.
    """
    for pattern, read in READERS:
        if found := pattern.fullmatch(stored):
            return read(found)
    return None


def name_cost(stored: str) -> str:
    """What of a hash says how long comparing takes: all but salt and key."""
    for pattern, _ in READERS:
        if found := pattern.fullmatch(stored):
            said = found.groupdict()
            return f"{pattern.pattern} {[said[name] for name in said if name not in SECRET]}"
    return stored.rpartition("$")[0].rpartition("$")[0]


def _read_bcrypt(found: re.Match[str]) -> Verifier:
    if int(found["rounds"]) not in BCRYPT_ROUNDS:
        raise UnfitHash(f"a bcrypt hash may have {BCRYPT_ROUNDS[0]} to {BCRYPT_ROUNDS[-1]} rounds")

    def verify(password: bytes) -> bool:
        known = password[:BCRYPT_READS]
        # bcrypt reads its key over and over, with a NUL between: one within would stand for that.
        return b"\0" not in known and bcrypt.checkpw(known, found[0].encode())

    return verify


def _read_pbkdf2(found: re.Match[str]) -> Verifier:
    iterations = int(found["iterations"])
    if not 1 <= iterations <= MAX_PBKDF2_ITERATIONS:
        raise UnfitHash(f"a PBKDF2 hash may have up to {MAX_PBKDF2_ITERATIONS} iterations")
    salt, key = found["salt"].encode(), base64.b64decode(found["key"])
    return lambda password: compare_digest(
        key, hashlib.pbkdf2_hmac("sha256", password, salt, iterations)
    )


def _read_django_scrypt(found: re.Match[str]) -> Verifier:
    return _bound_scrypt(
        n=int(found["n"]),
        r=int(found["r"]),
        p=int(found["p"]),
        salt=found["salt"].encode(),
        key=base64.b64decode(found["key"]),
    )


def _read_scrypt(found: re.Match[str]) -> Verifier:
    return _bound_scrypt(
        n=2 ** int(found["ln"]),
        r=int(found["r"]),
        p=int(found["p"]),
        salt=_decode_unpadded(found["salt"]),
        key=_decode_unpadded(found["key"]),
    )


def _bound_scrypt(*, n: int, r: int, p: int, salt: bytes, key: bytes) -> Verifier:
    memory = 128 * n * r
    if min(r, p) < 1 or memory > MAX_SCRYPT_BYTES or n * r * p > MAX_SCRYPT_WORK:
        raise UnfitHash(
            f"a scrypt hash may take up to {MAX_SCRYPT_BYTES // 2**20} MiB "
            f"and have an N r p of {MAX_SCRYPT_WORK}"
        )
    if n < 2 or n & (n - 1):  # noqa: PLR2004
        raise UnfitHash("the N of a scrypt hash is a power of two")
    room = memory + 128 * r * p + SCRYPT_MARGIN
    return lambda password: compare_digest(
        key, hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=room, dklen=len(key))
    )


def _decode_unpadded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))


# ASCII digits only, and few of them: `int` reads any script's, and of any length.
READERS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Verifier]], ...] = (
    (re.compile(r"\$2[aby]\$(?P<rounds>[0-9]{2})\$[./A-Za-z0-9]{53}"), _read_bcrypt),
    (
        re.compile(
            r"pbkdf2_sha256\$(?P<iterations>[0-9]{1,9})\$(?P<salt>[!-#%-~]{1,64})"
            rf"\$(?P<key>{BASE64}{{43}}=)"
        ),
        _read_pbkdf2,
    ),
    (
        re.compile(
            r"scrypt\$(?P<n>[0-9]{1,9})\$(?P<salt>[!-#%-~]{1,64})\$(?P<r>[0-9]{1,3})"
            rf"\$(?P<p>[0-9]{{1,3}})\$(?P<key>{BASE64}{{86}}==)"
        ),
        _read_django_scrypt,
    ),
    (
        re.compile(
            r"\$scrypt\$ln=(?P<ln>[0-9]{1,2}),r=(?P<r>[0-9]{1,3}),p=(?P<p>[0-9]{1,3})"
            rf"\$(?P<salt>{BASE64}{{11,86}})\$(?P<key>{BASE64}{{43}})"
        ),
        _read_scrypt,
    ),
)
