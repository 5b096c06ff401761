import logging
from pathlib import Path

import bcrypt
import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type

from plinth.security import argon2id
from plinth.security.passwords import Verdict, hash_password, verify_password
from plinth.testing.people import CHEAP_HASH, PASSWORD, People
from tests.support.environment import run_python

CHEAP_BCRYPT = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
PROFILE = "$argon2id$v=19$m=19456,t=2,p=1$"

# Right hashes of PASSWORD just over the limits: without a limit, the result would be RIGHT.
BEYOND = {
    "argon2 memory": "$argon2id$v=19$m=262152,t=1,p=1$ZTySJSN1+sIiGM2VGhrufg"
    "$cERLpmH3Svlc4uo72xfR57AL+bchnhky50eb56aldRw",
    "argon2 time": PasswordHasher(11, 8, 1).hash(PASSWORD),
    "argon2 lanes": PasswordHasher(1, 72, 9).hash(PASSWORD),
    "bcrypt rounds": "$2b$15$6nXrNt4UGEhvbN7VdLpZze0y/Y0EtuGCrm7xLMq58N25uYw6YKXhC",
}
BOMBS = [
    CHEAP_HASH.replace("m=8", "m=4194304"),
    CHEAP_HASH.replace("m=8", "m=4294967295"),
    CHEAP_HASH.replace("m=8", "m=99999999999999999999999"),
    CHEAP_HASH.replace("t=1", "t=1000"),
    CHEAP_HASH.replace("t=1", "t=4294967295"),
    CHEAP_HASH.replace("m=8,t=1,p=1", "m=2040,t=1,p=255"),
    CHEAP_BCRYPT.replace("$04$", "$31$"),
    CHEAP_BCRYPT.replace("$04$", "$20$"),
]
GARBAGE = [
    "", " ", "$", "$$$$$", "plain", PASSWORD, "!", "*", "\0", "\n", "ä", "\ud800", "🦆" * 60,
    "$argon2i$", "$argon2d$", "$argon2id$", "$argon2id$v=19$", "$argon2id$v=19$m=8,t=1,p=1$",
    "$argon2id$v=19$m=8$t=1$p=1$a$b", "$argon2id$" + "A" * 100_000,
    "$argon2id$v=19$m=8,t=1,p=1$" + "A" * 100_000 + "$" + "A" * 43,
    CHEAP_HASH[:-1], CHEAP_HASH[:-20], CHEAP_HASH[: CHEAP_HASH.rindex("$")], CHEAP_HASH + "A",
    CHEAP_HASH + "ä", CHEAP_HASH + "\n", " " + CHEAP_HASH, CHEAP_HASH[:40] + "\0" + CHEAP_HASH[41:],
    CHEAP_HASH.replace("argon2id", "argon2x"), CHEAP_HASH.replace("argon2id", "argon2i"),
    CHEAP_HASH.replace("v=19", "v=18"), CHEAP_HASH.replace("v=19", "v=99"),
    CHEAP_HASH.replace("$v=19", ""), CHEAP_HASH.replace("m=8", "m=٨"),
    CHEAP_HASH.replace("m=8", "m=x"), CHEAP_HASH.replace("m=8", "m=-8"),
    CHEAP_HASH.replace("m=8", "m=0"), CHEAP_HASH.replace("m=8", "m= 8"),
    CHEAP_HASH.replace("t=1", "t=0"), CHEAP_HASH.replace("p=1", "p=0"),
    CHEAP_HASH.replace("m=8,t=1", "t=1,m=8"), CHEAP_HASH.replace("m=8,", "m=8,m=8,"),
    CHEAP_HASH.replace("m=8", "m=8,x=1"), CHEAP_HASH.replace("m=8", "m=8,"),
    "$2b$04$", "$2b$04$" + "A" * 53, "$2b$04$" + "." * 53, "$2b$04$" + "z" * 53,
    "$2b$04$" + "A" * 100_000, CHEAP_BCRYPT[:-1], CHEAP_BCRYPT + "x", CHEAP_BCRYPT + "\n",
    CHEAP_BCRYPT + "\0", CHEAP_BCRYPT.replace("$04$", "$00$"),
    CHEAP_BCRYPT.replace("$04$", "$03$"), CHEAP_BCRYPT.replace("$04$", "$4$"),
    CHEAP_BCRYPT.replace("$04$", "$٠٤$"), CHEAP_BCRYPT.replace("$2b$", "$2x$"),
    CHEAP_BCRYPT.replace("$2b$", "$2$"), CHEAP_BCRYPT.replace("$2b$", "$2c$"),
    "pbkdf2_sha256$1$salt$hash", "{SSHA}aGFzaA==", "5f4dcc3b5aa765d61d8327deb882cf99",
]  # fmt: skip


async def test_hash_matches_only_its_password() -> None:
    stored = await hash_password(PASSWORD)
    assert await verify_password(PASSWORD, stored) is Verdict.RIGHT
    assert not await verify_password(PASSWORD + " ", stored)
    assert not await verify_password("", stored)
    assert await hash_password(PASSWORD) != stored


def test_default_profile_follows_owasp(tmp_path: Path) -> None:
    said = run_python(
        "import asyncio; from plinth.security import passwords as p;"
        "print(asyncio.run(p.hash_password('x'))); print(p.DUMMY_HASH)",
        cwd=tmp_path,
    )
    real, nobodys = said.stdout.split()
    assert real.startswith(PROFILE)
    assert nobodys.startswith(PROFILE)
    assert len(nobodys) == len(real)


@pytest.mark.parametrize("stored", [None, "!"], ids=["unknown account", "no password"])
async def test_missing_hash_takes_a_full_verification(
    stored: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the time would show which accounts exist."""
    verified: list[str] = []
    verify = argon2id.verify

    def verify_and_note(stored: str, password: bytes) -> None:
        verified.append(stored)
        verify(stored, password)

    monkeypatch.setattr(argon2id, "verify", verify_and_note)
    assert await verify_password(PASSWORD, stored) is Verdict.WRONG

    [compared] = verified
    assert extract_parameters(compared) == extract_parameters(await hash_password(PASSWORD))


async def test_verification_without_a_hash_is_wrong() -> None:
    for password in ("", "\0", "\0" * 32, PASSWORD):
        assert await verify_password(password, None) is Verdict.WRONG


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
async def test_bcrypt_hash_is_right_but_old(prefix: str) -> None:
    stored = prefix + CHEAP_BCRYPT.removeprefix("$2b$")
    assert await verify_password(PASSWORD, stored) is Verdict.RIGHT_BUT_OLD
    assert not await verify_password(PASSWORD + "x", stored)
    # bcrypt repeats its key with a NUL in between, so these keys are equal for it.
    assert not await verify_password(f"{PASSWORD}\0{PASSWORD}", stored)


async def test_bcrypt_hash_uses_the_first_72_bytes() -> None:
    long = "Pä" * 40
    stored = bcrypt.hashpw(long.encode()[:72], bcrypt.gensalt(4)).decode()
    assert await verify_password(long, stored) is Verdict.RIGHT_BUT_OLD


@pytest.mark.parametrize(
    "older",
    [
        PasswordHasher(1, 8, 1, type=Type.I),
        PasswordHasher(1, 8, 1, type=Type.D),
        PasswordHasher(2, 8, 1),
        PasswordHasher(1, 16, 1),
        PasswordHasher(1, 16, 2),
        PasswordHasher(1, 8, 1, hash_len=16),
    ],
)
async def test_argon2_hash_with_other_parameters_is_right_but_old(older: PasswordHasher) -> None:
    assert await verify_password(PASSWORD, older.hash(PASSWORD)) is Verdict.RIGHT_BUT_OLD


async def test_bytes_after_the_72nd_count() -> None:
    prefix = "a" * 72
    stored = await hash_password(prefix + "one")
    assert await verify_password(prefix + "one", stored)
    assert not await verify_password(prefix + "two", stored)
    assert not await verify_password(prefix, stored)


@pytest.mark.parametrize(
    ("typed", "meant"), [("Ångström-1", "Ångström-1"), ("ﬁne-Pass-①", "fine-Pass-1")]
)
async def test_password_is_equal_in_any_unicode_form(typed: str, meant: str) -> None:
    assert await verify_password(typed, await hash_password(meant))


@pytest.mark.parametrize("stored", [CHEAP_HASH, CHEAP_BCRYPT], ids=["argon2", "bcrypt"])
async def test_lone_surrogate_is_wrong_without_an_error(stored: str) -> None:
    for password in ("\ud800", PASSWORD + "\udfff", "\ud83e"):
        assert await verify_password(password, stored) is Verdict.WRONG
        own = await hash_password(password)
        assert await verify_password(password, own) is Verdict.RIGHT
        assert not await verify_password(password[:-1] + "?", own)


@pytest.mark.parametrize("stored", BEYOND.values(), ids=BEYOND.keys())
async def test_stored_hash_beyond_the_bounds_is_wrong(stored: str) -> None:
    assert await verify_password(PASSWORD, stored) is Verdict.WRONG


def test_extremely_expensive_hash_is_refused_at_once(tmp_path: Path) -> None:
    """Run in a separate process, which can be killed if a hash takes too long."""
    said = run_python(
        "import asyncio; from plinth.security.passwords import verify_password;"
        f"[print(asyncio.run(verify_password({PASSWORD!r}, bomb)).name) for bomb in {BOMBS!r}]",
        cwd=tmp_path,
    )
    assert said.stdout.split() == ["WRONG"] * len(BOMBS)


@pytest.mark.parametrize("stored", GARBAGE, ids=range(len(GARBAGE)))
async def test_malformed_hash_matches_no_password(stored: str) -> None:
    for password in (PASSWORD, "", stored, "\ud800"):
        assert await verify_password(password, stored) is Verdict.WRONG


async def test_malformed_hash_is_logged_without_its_value(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        await verify_password(PASSWORD, "$argon2id$hush")
        assert len(caplog.records) == 1
        assert "hush" not in caplog.text
        caplog.clear()
        await verify_password(PASSWORD + "x", CHEAP_HASH)
        assert not caplog.records


async def test_malformed_hash_in_the_table_is_a_wrong_password(people: People) -> None:
    for stored in ("", "$2b$04$" + "z" * 53, CHEAP_HASH + "ä", BOMBS[0]):
        person = await people.add(hashed_password=stored)
        answer = await people.try_to_sign_in(person)
        assert answer.status_code == 401, answer.text
