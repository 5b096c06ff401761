"""Hashes of other systems: right, wrong, too expensive, and invalid."""

from pathlib import Path

import bcrypt
import pytest
from argon2 import PasswordHasher

from plinth.security.old_hashes import UnfitHash
from plinth.security.passwords import (
    NO_PASSWORD,
    Verdict,
    check_hash,
    hash_password,
    verify_password,
)
from plinth.testing.people import PASSWORD
from tests.support.environment import run_python
from tests.support.foreign_hashes import BEYOND, FOREIGN, PBKDF2_BEYOND, UNKNOWN


@pytest.mark.parametrize("stored", FOREIGN.values(), ids=FOREIGN.keys())
async def test_hash_of_another_system_is_right_but_old(stored: str) -> None:
    check_hash(stored)
    assert await verify_password(PASSWORD, stored) is Verdict.RIGHT_BUT_OLD
    for wrong in (PASSWORD + "x", PASSWORD[:-1], "", "\ud800", "\0"):
        assert await verify_password(wrong, stored) is Verdict.WRONG


async def test_matching_hash_beyond_the_bounds_is_wrong() -> None:
    assert await verify_password(PASSWORD, PBKDF2_BEYOND) is Verdict.WRONG


@pytest.mark.parametrize("stored", BEYOND)
def test_a_hash_beyond_the_bounds_is_refused(stored: str) -> None:
    with pytest.raises(UnfitHash) as refusal:
        check_hash(stored)
    assert "is not a hash of" not in str(refusal.value)


def test_hashes_beyond_the_bounds_are_never_computed(tmp_path: Path) -> None:
    """Run in a separate process, which can be killed if a hash takes too long."""
    said = run_python(
        "import asyncio; from plinth.security.passwords import verify_password;"
        f"[print(asyncio.run(verify_password({PASSWORD!r}, bomb)).name) for bomb in {BEYOND!r}]",
        cwd=tmp_path,
    )
    assert said.stdout.split() == ["WRONG"] * len(BEYOND)


@pytest.mark.parametrize("stored", UNKNOWN)
async def test_malformed_hash_is_refused_and_matches_no_password(stored: str) -> None:
    with pytest.raises(UnfitHash, match="is not a hash of"):
        check_hash(stored)
    for password in (PASSWORD, "", stored):
        assert await verify_password(password, stored) is Verdict.WRONG


async def test_no_password_matches_no_input() -> None:
    check_hash(NO_PASSWORD)
    for password in ("", NO_PASSWORD, PASSWORD, "\0"):
        assert await verify_password(password, NO_PASSWORD) is Verdict.WRONG


@pytest.mark.parametrize("typed", ["Zo\u00eb-Pass-1", "Zoe\u0308-Pass-1"], ids=["NFC", "NFD"])
async def test_hash_of_another_system_matches_nfc_and_nfd(typed: str) -> None:
    stored = bcrypt.hashpw("Zo\u00eb-Pass-1".encode(), bcrypt.gensalt(4)).decode()
    assert await verify_password(typed, stored) is Verdict.RIGHT_BUT_OLD
    assert await verify_password("Zoe-Pass-1", stored) is Verdict.WRONG


async def test_argon2_hash_of_an_unnormalized_password_matches() -> None:
    """Our hashes are of normalized passwords; those of other systems may not be."""
    typed = "ﬁne-Pass-①"
    stored = PasswordHasher(1, 8, 1).hash(typed)
    assert await verify_password(typed, stored) is Verdict.RIGHT_BUT_OLD
    assert not await verify_password("fine-Pass-1", stored)
    assert await verify_password(typed, await hash_password("fine-Pass-1")) is Verdict.RIGHT
