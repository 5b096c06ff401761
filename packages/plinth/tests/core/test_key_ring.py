"""The keys of a process while its file changes."""

import logging
import time
from pathlib import Path

import pytest

from plinth.config import settings
from plinth.security.keys import KeyFileError, KeyRing, revoke_key, rotate_keys
from plinth.security.keys.key import take_secret_key
from tests.support.environment import COMPLETE, run_python

A_LOOK = 1.05  # seconds


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def rotate(file: Path) -> str:
    return rotate_keys(file, "HS256", after=0)[0].kid


def test_without_a_file_secret_key_signs_alone() -> None:
    ring = KeyRing(None)
    assert ring.signing_key.kid == take_secret_key(0).kid
    assert ring.find(ring.signing_key.kid) is ring.signing_key
    assert ring.find("other") is None


def test_a_changed_file_is_noticed_within_a_second_and_not_looked_at_more_often(
    file: Path,
) -> None:
    first = rotate(file)
    ring = KeyRing(file)
    assert ring.signing_key.kid == first
    second = rotate(file)
    assert ring.signing_key.kid == first, "the file was looked at twice in a second"
    time.sleep(A_LOOK)
    assert ring.signing_key.kid == second


def test_an_unknown_kid_is_looked_for_at_once_and_once_a_second(file: Path) -> None:
    rotate(file)
    ring = KeyRing(file)
    ring.load()
    second = rotate(file)
    found = ring.find(second)
    assert found
    assert found.kid == second
    third = rotate(file)
    assert ring.find(third) is None, "unknown kids must not make us read the file all the time"
    time.sleep(A_LOOK)
    assert ring.find(third)


def test_a_revoked_key_is_gone_with_the_next_look(file: Path) -> None:
    first = rotate(file)
    rotate(file)
    ring = KeyRing(file)
    assert ring.find(first)
    revoke_key(file, first)
    ring.load()
    assert ring.find(first) is None


def test_a_key_ends_at_its_time_while_the_file_stays(
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


def test_a_key_begins_to_sign_at_its_time_while_the_file_stays(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = rotate(file)
    waiting, _ = rotate_keys(file, "EdDSA", after=600)
    ring = KeyRing(file)
    assert ring.signing_key.kid == first
    assert ring.find(waiting.kid), "another worker's clock may be ahead"
    monkeypatch.setattr(time, "time", lambda: float(waiting.signs_from))
    assert ring.signing_key.kid == waiting.kid


def test_a_clock_behind_all_keys_still_signs(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rotate(file)
    ring = KeyRing(file)
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    assert ring.signing_key.kid == take_secret_key(0).kid


@pytest.mark.parametrize("break_it", ["garbage", "gone", "unreadable"])
def test_a_broken_file_leaves_the_keys_and_is_told_once(
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


def test_a_mended_mode_is_noticed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_missing_file_means_secret_key_in_development_until_it_comes(file: Path) -> None:
    ring = KeyRing(file)
    ring.load()
    assert ring.signing_key.kid == take_secret_key(0).kid
    new = rotate(file)
    ring.load()
    assert ring.signing_key.kid == new


def test_elsewhere_a_missing_file_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "ENVIRONMENT", "production")
    ring = KeyRing(file)
    for _ in range(2):
        with pytest.raises(KeyFileError, match="plinth keys rotate"):
            ring.load()


def test_the_server_does_not_start_on_keys_that_cannot_be_used(file: Path, tmp_path: Path) -> None:
    file.write_text("no keys")
    ended = run_python("import app.main", cwd=tmp_path, **COMPLETE, KEYS_FILE=str(file))
    assert ended.returncode == 1
    assert ended.stderr.startswith("Plinth cannot start:\n  KEYS_FILE")
    assert "Traceback" not in ended.stderr
