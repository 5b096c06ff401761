"""The keys of a process while its file changes."""

import logging
import time
from pathlib import Path

import pytest

from plinth.config import settings
from plinth.security.keys import KeyFileError, KeyRing, revoke_key, rotate_keys
from plinth.security.keys.key import take_secret_key
from tests.support.environment import COMPLETE, run_python

CHECK_INTERVAL = 1.05  # seconds


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def rotate(file: Path) -> str:
    return rotate_keys(file, "HS256", after=0)[0].kid


def test_secret_key_signs_without_a_file() -> None:
    ring = KeyRing(None)
    assert ring.signing_key.kid == take_secret_key(0).kid
    assert ring.find(ring.signing_key.kid) is ring.signing_key
    assert ring.find("other") is None


def test_file_is_checked_for_changes_once_a_second(
    file: Path,
) -> None:
    first = rotate(file)
    ring = KeyRing(file)
    assert ring.signing_key.kid == first
    second = rotate(file)
    assert ring.signing_key.kid == first, "the file was looked at twice in a second"
    time.sleep(CHECK_INTERVAL)
    assert ring.signing_key.kid == second


def test_unknown_kid_reloads_the_file_at_most_once_a_second(file: Path) -> None:
    rotate(file)
    ring = KeyRing(file)
    ring.load()
    second = rotate(file)
    found = ring.find(second)
    assert found
    assert found.kid == second
    third = rotate(file)
    assert ring.find(third) is None, "unknown kids must not make us read the file all the time"
    time.sleep(CHECK_INTERVAL)
    assert ring.find(third)


def test_revoked_key_is_gone_after_the_next_load(file: Path) -> None:
    first = rotate(file)
    rotate(file)
    ring = KeyRing(file)
    assert ring.find(first)
    revoke_key(file, first)
    ring.load()
    assert ring.find(first) is None


def test_key_expires_without_a_change_of_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = rotate(file), rotate(file)
    ring = KeyRing(file)
    old = ring.find(first)
    assert old
    end = old.verifies_until
    assert end
    monkeypatch.setattr(time, "time", lambda: end - 0.5)
    assert ring.find(first)
    monkeypatch.setattr(time, "time", lambda: float(end))
    assert ring.find(first) is None
    assert ring.find(second)
    assert first not in {key.kid for key in ring.verifying_keys}


def test_key_starts_to_sign_without_a_change_of_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = rotate(file)
    waiting, _ = rotate_keys(file, "EdDSA", after=600)
    ring = KeyRing(file)
    assert ring.signing_key.kid == first
    assert ring.find(waiting.kid), "another worker's clock may be ahead"
    monkeypatch.setattr(time, "time", lambda: float(waiting.signs_from))
    assert ring.signing_key.kid == waiting.kid


def test_clock_before_all_keys_still_has_a_signing_key(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotate(file)
    ring = KeyRing(file)
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    assert ring.signing_key.kid == take_secret_key(0).kid


@pytest.mark.parametrize("break_it", ["garbage", "gone", "unreadable"])
def test_broken_file_keeps_the_loaded_keys_and_is_logged_once(
    file: Path,
    break_it: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = rotate(file)
    ring = KeyRing(file)
    ring.load()
    good = file.read_text()
    monkeypatch.setattr(settings, "ENVIRONMENT", "production")
    if break_it == "garbage":
        file.write_text('{"keys": [')
    elif break_it == "gone":
        file.unlink()
    else:
        file.chmod(0o644)

    for _ in range(3):
        ring.load()

    assert ring.signing_key.kid == first
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert str(file) in errors[0].getMessage()

    file.write_text(good)
    file.chmod(0o600)
    second = rotate(file)
    ring.load()
    assert ring.signing_key.kid == second


def test_fixed_file_mode_reloads_the_keys(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rotate(file)
    ring = KeyRing(file)
    ring.load()
    monkeypatch.setattr(settings, "ENVIRONMENT", "production")
    second = rotate(file)
    file.chmod(0o644)
    ring.load()
    assert ring.signing_key.kid != second
    file.chmod(0o600)
    ring.load()
    assert ring.signing_key.kid == second


def test_missing_file_uses_secret_key_in_development(file: Path) -> None:
    ring = KeyRing(file)
    ring.load()
    assert ring.signing_key.kid == take_secret_key(0).kid
    new = rotate(file)
    ring.load()
    assert ring.signing_key.kid == new


def test_missing_file_is_refused_outside_development(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "ENVIRONMENT", "production")
    ring = KeyRing(file)
    for _ in range(2):
        with pytest.raises(KeyFileError, match="plinth keys rotate"):
            ring.load()


def test_server_does_not_start_with_unusable_keys(file: Path, tmp_path: Path) -> None:
    file.write_text("no keys")
    ended = run_python("import app.main", cwd=tmp_path, **COMPLETE, KEYS_FILE=str(file))
    assert ended.returncode == 1
    assert ended.stderr.startswith("Plinth cannot start:\n  KEYS_FILE")
    assert "Traceback" not in ended.stderr
