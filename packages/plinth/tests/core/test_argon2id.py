"""Both argon2 libraries accept the hashes of the other one."""

import pytest
from argon2 import PasswordHasher, Type
from argon2.exceptions import VerifyMismatchError

from plinth.security import argon2id

PASSWORD, OTHER = b"Correct-Horse-7\0\xff", b"Correct-Horse-7"
MAKERS = {
    "as ours": PasswordHasher(2, 64, 1),
    "eight lanes": PasswordHasher(1, 64, 8),
    "argon2i": PasswordHasher(3, 64, 1, type=Type.I),
    "argon2d": PasswordHasher(1, 64, 1, type=Type.D),
    "a short hash": PasswordHasher(1, 64, 1, hash_len=16),
    "a long salt": PasswordHasher(1, 64, 1, hash_len=64, salt_len=64),
}


def test_make_hash_returns_a_phc_string_with_the_parameters() -> None:
    made = argon2id.make_hash(PASSWORD, passes=2, memory_kib=64)
    assert made.startswith("$argon2id$v=19$m=64,t=2,p=1$")
    assert not MAKERS["as ours"].check_needs_rehash(made)
    assert MAKERS["as ours"].verify(made, PASSWORD)
    with pytest.raises(VerifyMismatchError):
        MAKERS["as ours"].verify(made, OTHER)


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
def test_hashes_of_other_libraries_are_verified(maker: PasswordHasher) -> None:
    stored = maker.hash(PASSWORD)
    argon2id.verify(stored, PASSWORD)
    with pytest.raises(VerifyMismatchError):
        argon2id.verify(stored, OTHER)
