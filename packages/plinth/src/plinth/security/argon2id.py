"""argon2id by libsodium, which uses the vector instructions of the processor.

argon2-cffi's wheels are built for any processor and take nearly twice as long
(docs/explanation/decisions/sign-in.md). They still verify hashes that libsodium does not support.
"""

import re

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from nacl.exceptions import InvalidkeyError
from nacl.pwhash import argon2id as sodium

from plinth.security.old_hashes import BASE64

# The format of both libraries: 16 bytes of salt, 32 of hash, unused bits zero. Imported hashes may
# have other lengths, and libsodium does not distinguish a malformed hash from a wrong password.
_usual = re.compile(
    r"\$argon2id\$v=19\$m=[0-9]{1,9},t=[0-9]{1,9},p=[0-9]{1,3}"
    rf"\${BASE64}{{21}}[AQgw]\${BASE64}{{42}}[AEIMQUYcgkosw048]"
)
_fallback = PasswordHasher()


def make_hash(password: bytes, *, passes: int, memory_kib: int) -> str:
    """Return a hash in PHC format, with one lane."""
    return sodium.str(password, passes, memory_kib * 1024).decode()


def verify(stored: str, password: bytes) -> None:
    """
    Args:
        stored: any variant of argon2, in PHC format. The caller must check its cost first.

    Raises:
        VerifyMismatchError: the password is wrong.
        VerificationError, ValueError: the hash is malformed.
    """
    if not _usual.fullmatch(stored):
        _fallback.verify(stored, password)
        return
    try:
        sodium.verify(stored.encode(), password)
    except InvalidkeyError:
        raise VerifyMismatchError from None
