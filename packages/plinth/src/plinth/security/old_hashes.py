"""Password hashes of other systems: bcrypt, Django's PBKDF2 and scrypt.

A stored hash determines its cost, and an imported one must not overload the server. So each
algorithm has limits: well above the recommended cost, and below about one second of CPU time.
"""

import base64
import hashlib
import re
from collections.abc import Callable
from hmac import compare_digest

import bcrypt

BCRYPT_ROUNDS = range(4, 15)
BCRYPT_BYTES = 72  # bcrypt ignores further bytes
MAX_PBKDF2_ITERATIONS = 2_000_000
MAX_SCRYPT_BYTES = 128 * 2**20  # 128 N r
MAX_SCRYPT_WORK = 2**21  # N r p
SCRYPT_MARGIN_BYTES = 2**20  # additional memory of OpenSSL

SECRET = ("salt", "key")
BASE64 = r"[A-Za-z0-9+/]"


class UnfitHash(ValueError):
    """A hash that cannot be verified. The message has the reason, never the hash."""


Verifier = Callable[[bytes], bool]


def find_verifier(stored: str) -> Verifier | None:
    """Return a function that verifies a password; None if the algorithm is unknown.

    Raises:
        UnfitHash: the cost exceeds the limits.
    """
    for pattern, read in READERS:
        if match := pattern.fullmatch(stored):
            return read(match)
    return None


def name_cost(stored: str) -> str:
    """Return the part of a hash that determines its cost: without salt and key."""
    for pattern, _ in READERS:
        if match := pattern.fullmatch(stored):
            parts = match.groupdict()
            return f"{pattern.pattern} {[parts[name] for name in parts if name not in SECRET]}"
    return stored.rpartition("$")[0].rpartition("$")[0]


def _read_bcrypt(match: re.Match[str]) -> Verifier:
    if int(match["rounds"]) not in BCRYPT_ROUNDS:
        raise UnfitHash(f"a bcrypt hash must have {BCRYPT_ROUNDS[0]} to {BCRYPT_ROUNDS[-1]} rounds")

    def verify(password: bytes) -> bool:
        significant = password[:BCRYPT_BYTES]
        # bcrypt repeats its key with a NUL as separator, so a NUL in the password is ambiguous.
        return b"\0" not in significant and bcrypt.checkpw(significant, match[0].encode())

    return verify


def _read_pbkdf2(match: re.Match[str]) -> Verifier:
    iterations = int(match["iterations"])
    if not 1 <= iterations <= MAX_PBKDF2_ITERATIONS:
        raise UnfitHash(f"a PBKDF2 hash must have at most {MAX_PBKDF2_ITERATIONS} iterations")
    salt, key = match["salt"].encode(), base64.b64decode(match["key"])
    return lambda password: compare_digest(
        key, hashlib.pbkdf2_hmac("sha256", password, salt, iterations)
    )


def _read_django_scrypt(match: re.Match[str]) -> Verifier:
    return _bound_scrypt(
        n=int(match["n"]),
        r=int(match["r"]),
        p=int(match["p"]),
        salt=match["salt"].encode(),
        key=base64.b64decode(match["key"]),
    )


def _read_scrypt(match: re.Match[str]) -> Verifier:
    return _bound_scrypt(
        n=2 ** int(match["ln"]),
        r=int(match["r"]),
        p=int(match["p"]),
        salt=_decode_unpadded(match["salt"]),
        key=_decode_unpadded(match["key"]),
    )


def _bound_scrypt(*, n: int, r: int, p: int, salt: bytes, key: bytes) -> Verifier:
    memory = 128 * n * r
    if min(r, p) < 1 or memory > MAX_SCRYPT_BYTES or n * r * p > MAX_SCRYPT_WORK:
        raise UnfitHash(
            f"a scrypt hash must need at most {MAX_SCRYPT_BYTES // 2**20} MiB "
            f"and have an N r p of at most {MAX_SCRYPT_WORK}"
        )
    if n < 2 or n & (n - 1):  # noqa: PLR2004
        raise UnfitHash("the N of a scrypt hash must be a power of two")
    max_memory = memory + 128 * r * p + SCRYPT_MARGIN_BYTES
    return lambda password: compare_digest(
        key, hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=max_memory, dklen=len(key))
    )


def _decode_unpadded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))


# Few digits, and only ASCII: `int` accepts digits of every script, in any number.
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
