"""argon2 by libsodium, which takes the widest registers that the processor has.

argon2-cffi's wheels hold what any processor can do, and take nearly twice as long for the same hash
(docs/explanation/decisions/sign-in.md). What libsodium does not know is still verified by them.
"""

import re

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from nacl.exceptions import InvalidkeyError
from nacl.pwhash import argon2id as sodium

from plinth.security.old_hashes import BASE64

# As both write it, with 16 bytes of salt and 32 of hash, and no bit in the last digits that is none
# of theirs. An import may bring other lengths, and libsodium does not say what is garbled.
_usual = re.compile(
    r"\$argon2id\$v=19\$m=[0-9]{1,9},t=[0-9]{1,9},p=[0-9]{1,3}"
    rf"\${BASE64}{{21}}[AQgw]\${BASE64}{{42}}[AEIMQUYcgkosw048]"
)
_other = PasswordHasher()


def make_hash(password: bytes, *, passes: int, memory_kib: int) -> str:
    """In PHC's form, with one lane."""
    return sodium.str(password, passes, memory_kib * 1024).decode()


def verify(stored: str, password: bytes) -> None:
    """
    Args:
        stored: of any kind of argon2, in PHC's form; with figures that one is willing to pay.

    Raises:
        VerifyMismatchError: it is another password's.
        VerificationError, ValueError: it is garbled.
    """
    if not _usual.fullmatch(stored):
        _other.verify(stored, password)
        return
    try:
        sodium.verify(stored.encode(), password)
    except InvalidkeyError:
        raise VerifyMismatchError from None
