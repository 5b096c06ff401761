"""`KEYS_FILE`: its content, validation and rotation."""

import itertools
import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from plinth.config import settings
from plinth.security.keys import (
    CLOCK_SKEW,
    KINDS,
    Key,
    KeyFileError,
    read_keys,
    revoke_key,
    rotate_keys,
)
from plinth.security.keys.key import take_secret_key
from tests.support.environment import ROOT, bare_environment

LIFETIME = settings.ACCESS_TOKEN_EXPIRE_MINUTES * 60 + CLOCK_SKEW
MESSAGE = b"header.payload"
STRANGER = 4711  # a uid


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def write(file: Path, *keys: dict[str, Any]) -> None:
    file.write_text(json.dumps({"keys": keys}))
    file.chmod(0o600)


def edit(file: Path, place: int, **members: Any) -> None:
    keys = json.loads(file.read_text())["keys"]
    keys[place] |= members
    write(file, *keys)


@pytest.fixture
def good(file: Path) -> dict[str, Any]:
    """Return the newest key of a file, as it is stored."""
    rotate_keys(file, "EdDSA", after=0)
    found: dict[str, Any] = json.loads(file.read_text())["keys"][-1]
    return found


def test_first_rotation_includes_secret_key(file: Path) -> None:
    before = int(time.time())
    new, signing = rotate_keys(file, "HS256", after=0)

    old, added = read_keys(file)
    assert (old.kid, old.alg) == (take_secret_key(0).kid, settings.ALGORITHM)
    assert old.verifies_until is not None
    assert old.verifies_until - before in range(LIFETIME, LIFETIME + 3)
    assert (added.kid, added.verifies_until) == (new.kid, None)
    assert signing.kid == new.kid


def test_immediate_key_signs_even_when_the_second_changes(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = time.time()
    seconds = itertools.count(int(begun))
    monkeypatch.setattr("time.time", lambda: float(next(seconds)))
    for _ in range(2):
        new, signing = rotate_keys(file, "HS256", after=0)
        assert signing.kid == new.kid
        assert [key.kid for key in read_keys(file) if key.verifies_until is None] == [new.kid]


def test_pending_key_leaves_the_old_key_signing(file: Path) -> None:
    _, first = rotate_keys(file, "HS256", after=0)
    before = int(time.time())
    new, signing = rotate_keys(file, "ES256", after=600)

    assert signing.kid == first.kid
    assert new.signs_from - before in range(600, 603)
    kept = {key.kid: key for key in read_keys(file)}
    assert kept[first.kid].verifies_until == new.signs_from + LIFETIME


def test_immediate_rotation_precedes_a_pending_key(file: Path) -> None:
    waiting, _ = rotate_keys(file, "HS256", after=600)
    now, signing = rotate_keys(file, "HS256", after=0)

    kept = {key.kid: key for key in read_keys(file)}
    assert signing.kid == now.kid
    assert kept[now.kid].verifies_until == waiting.signs_from + LIFETIME
    assert kept[waiting.kid].verifies_until is None


def test_next_rotation_removes_expired_keys(file: Path) -> None:
    old, _ = rotate_keys(file, "HS256", after=0)
    rotate_keys(file, "HS256", after=0)
    edit(file, 1, verifies_until="2020-01-01T00:00:00Z")
    assert old.kid in {key.kid for key in read_keys(file)}

    rotate_keys(file, "HS256", after=0)

    assert old.kid not in {key.kid for key in read_keys(file)}


def test_removed_secret_key_is_not_added_again(file: Path) -> None:
    rotate_keys(file, "HS256", after=0)
    secret = take_secret_key(0).kid
    revoke_key(file, secret)
    rotate_keys(file, "HS256", after=0)
    assert secret not in {key.kid for key in read_keys(file)}


def test_signing_key_cannot_be_revoked(file: Path) -> None:
    new, _ = rotate_keys(file, "HS256", after=0)
    before = file.read_text()
    with pytest.raises(KeyFileError, match="plinth keys rotate"):
        revoke_key(file, new.kid)
    with pytest.raises(KeyFileError, match="no key"):
        revoke_key(file, "nobody")
    assert file.read_text() == before


@pytest.mark.parametrize("alg", KINDS)
def test_key_round_trip_through_the_file(file: Path, alg: str) -> None:
    new, _ = rotate_keys(file, alg, after=0)
    read = read_keys(file)[-1]
    assert (read.kid, read.alg, read.made_at, read.signs_from) == (
        (new.kid, alg, new.made_at, new.signs_from)
    )
    assert read.verifies(MESSAGE, new.sign(MESSAGE))
    assert new.verifies(MESSAGE, read.sign(MESSAGE))
    assert not read.verifies(MESSAGE + b" ", new.sign(MESSAGE))


def test_concurrent_rotations_lose_no_key_and_write_atomically(file: Path) -> None:
    rotate_keys(file, "HS256", after=0)
    code = (
        "import pathlib, sys; from plinth.security.keys import rotate_keys;"
        "[rotate_keys(pathlib.Path(sys.argv[1]), 'HS256', after=0) for _ in range(8)]"
    )
    rotating = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(file)],
            env=bare_environment() | {"SECRET_KEY": settings.SECRET_KEY},
            cwd=ROOT,
        )
        for _ in range(3)
    ]
    try:
        reads = 0
        while any(process.poll() is None for process in rotating):
            read_keys(file)
            reads += 1
    finally:
        codes = [process.wait() for process in rotating]

    assert codes == [0, 0, 0]
    assert reads > 8
    keys = read_keys(file)
    assert len(keys) == 2 + 3 * 8
    assert sum(key.verifies_until is None for key in keys) == 1


def test_key_file_has_mode_600(file: Path) -> None:
    old_mask = os.umask(0)
    try:
        rotate_keys(file, "HS256", after=0)
    finally:
        os.umask(old_mask)
    assert {stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()} == {0o600}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_file_readable_by_others_is_refused(
    file: Path, mode: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rotate_keys(file, "HS256", after=0)
    file.chmod(mode)
    read_keys(file)
    assert f"chmod 600 {file}" in caplog.text
    monkeypatch.setattr(settings, "ENVIRONMENT", "production")
    with pytest.raises(KeyFileError, match="chmod 600"):
        read_keys(file)


def test_a_file_of_another_user_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rotate_keys(file, "HS256", after=0)
    if os.geteuid() == 0:
        os.chown(file, STRANGER, STRANGER)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    monkeypatch.setattr(settings, "ENVIRONMENT", "production")
    with pytest.raises(KeyFileError, match="another user"):
        read_keys(file)


def test_rotation_by_root_keeps_the_file_owner(file: Path) -> None:
    owner = STRANGER if os.geteuid() == 0 else os.geteuid()
    os.chown(file.parent, owner, -1)
    rotate_keys(file, "HS256", after=0)
    assert file.stat().st_uid == owner, "a new file is for who owns the folder"
    rotate_keys(file, "HS256", after=0)
    assert file.stat().st_uid == owner


def test_symlink_is_followed_and_kept(file: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere" / "true.json"
    target.parent.mkdir()
    file.symlink_to(target)
    rotate_keys(file, "HS256", after=0)
    rotate_keys(file, "HS256", after=0)
    assert file.is_symlink()
    assert len(read_keys(target)) == 3


def test_rotation_succeeds_after_a_killed_rotation(file: Path) -> None:
    rotate_keys(file, "HS256", after=0)
    file.with_name("keys.json.new").write_text("half a fi")
    rotate_keys(file, "HS256", after=0)
    assert len(read_keys(file)) == 3


def test_missing_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="cannot be written: No such file"):
        rotate_keys(tmp_path / "none" / "keys.json", "HS256", after=0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"keys": {}}',
        '{"keys": []}',
        '{"keys": [1]}',
        '{"keys": [{}]}',
        "\0",
        "[" * 100_000,
    ],
)
def test_malformed_key_file_is_refused(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(KeyFileError):
        read_keys(file)
    with pytest.raises(KeyFileError):
        rotate_keys(file, "HS256", after=0)
    assert file.read_text() == text


@pytest.mark.parametrize(
    "members",
    [
        {"use": "enc"},
        {"use": None},
        {"alg": "HS256"},
        {"alg": "ES256"},
        {"alg": "RS256"},
        {"alg": "none"},
        {"kid": ""},
        {"kid": 7},
        {"kid": "a b"},
        {"kid": "x" * 65},
        {"crv": "X25519"},
        {"crv": "Ed448"},
        {"d": "AAAA"},
        {"d": None},
        {"kty": "oct"},
        {"made_at": None},
        {"signs_from": "yesterday"},
        {"signs_from": "2026-01-01T00:00:00"},
        {"signs_from": 1767225600},
        {"verifies_until": "2020-01-01T00:00:00Z"},
        {"key_ops": ["encrypt"]},
    ],
    ids=str,
)
def test_invalid_key_is_refused(file: Path, good: dict[str, Any], members: dict[str, Any]) -> None:
    write(file, good)
    read_keys(file)
    write(file, good | members)
    with pytest.raises(KeyFileError) as refused:
        read_keys(file)
    assert good["d"] not in str(refused.value)


@pytest.mark.parametrize(
    ("alg", "jwk"),
    [
        ("HS256", OctKey.generate_key(248)),
        ("HS512", OctKey.generate_key(256)),
        ("ES256", ECKey.generate_key("P-384")),
        ("ES256", ECKey.generate_key("secp256k1")),
        ("ES256", OKPKey.generate_key("Ed25519")),
        ("EdDSA", OKPKey.generate_key("Ed25519", private=False)),
        ("ES256", ECKey.generate_key("P-256", private=False)),
        ("RS256", RSAKey.generate_key(2048)),
    ],
    ids=lambda value: value if isinstance(value, str) else value.key_type,
)
def test_a_key_that_does_not_fit_its_algorithm_is_refused(
    file: Path, good: dict[str, Any], alg: str, jwk: OctKey | OKPKey | ECKey
) -> None:
    dates = {name: good[name] for name in ("made_at", "signs_from")}
    material = jwk.as_dict(private=jwk.is_private)
    write(file, good, {"kid": "other", "alg": alg, "use": "sig", **dates, **material})
    with pytest.raises(KeyFileError):
        read_keys(file)


def test_two_keys_with_the_same_kid_are_refused(file: Path, good: dict[str, Any]) -> None:
    write(file, good, good)
    with pytest.raises(KeyFileError, match="two keys"):
        read_keys(file)


def test_mismatched_public_key_is_not_used(file: Path, good: dict[str, Any]) -> None:
    other = OKPKey.generate_key("Ed25519").as_dict(private=False)
    write(file, good | {"x": other["x"]})
    try:
        read: Key = read_keys(file)[0]
    except KeyFileError:
        return
    assert read.jwk.as_dict(private=False)["x"] == good["x"]
