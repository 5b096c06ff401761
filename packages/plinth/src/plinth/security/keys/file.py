"""`KEYS_FILE`: a private JWK set (RFC 7517). Each key has three additional members: `made_at`,
`signs_from` and `verifies_until`.

Every reader of the file can sign tokens, so only its owner may read it. A change takes a lock and
replaces the file atomically, so that readers need no lock.
"""

import fcntl
import json
import logging
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from joserfc.errors import JoseError

from plinth.config import settings
from plinth.security.keys.key import (
    CLOCK_SKEW,
    KINDS,
    Key,
    find_flaw,
    find_signing_key,
    in_order,
    make_key,
    take_secret_key,
)

logger = logging.getLogger(__name__)

ROTATE = "create it with `plinth keys rotate`"
KID = re.compile(r"[A-Za-z0-9._~-]{1,64}")
MAX_FILE_BYTES = 1024 * 1024
PRIVATE = 0o600
DATES = ("made_at", "signs_from", "verifies_until")


class KeyFileError(Exception):
    """`KEYS_FILE` cannot be used. The message has the reason and the fix, and nothing of a key."""


def read_keys(path: Path) -> list[Key]:
    """
    Raises:
        KeyFileError: it is missing, readable by other users, or not valid.
    """
    try:
        with path.open("rb") as file:
            _check_privacy(path, os.fstat(file.fileno()))
            text = file.read(MAX_FILE_BYTES)
    except FileNotFoundError:
        raise KeyFileError(f"KEYS_FILE {path} does not exist: {ROTATE}") from None
    except OSError as error:
        raise KeyFileError(f"KEYS_FILE {path} cannot be read: {error.strerror}") from None
    return parse_keys(text, path)


def rotate_keys(path: Path, alg: str, *, after: int) -> tuple[Key, Key]:
    """Add a key that signs after `after` seconds, and remove expired keys.

    The other keys verify until the last token that they sign has expired.

    Returns:
        The new key, and the key that signs until then.

    Raises:
        KeyFileError: the file cannot be read or written.
    """
    added: list[Key] = []

    def add(keys: list[Key], now: int) -> list[Key]:
        added.append(make_key(alg, made_at=now, signs_from=now + after))
        return _set_expiry([*(key for key in keys if key.holds_at(now)), *added])

    keys = _change(path, add)
    return added[0], find_signing_key(keys, added[0].made_at)


def revoke_key(path: Path, kid: str) -> Key:
    """Remove a key, which invalidates every token that it signed.

    Raises:
        KeyFileError: the key does not exist, or no other key could sign.
    """
    removed: list[Key] = []

    def remove(keys: list[Key], _: int) -> list[Key]:
        removed.extend(key for key in keys if key.kid == kid)
        if not removed:
            raise KeyFileError(f"there is no key {kid} in {path}: see `plinth keys list`")
        others = [key for key in keys if key.kid != kid]
        if not any(key.verifies_until is None for key in others):
            raise KeyFileError(f"{kid} is the newest key: first `plinth keys rotate --after 0s`")
        return others

    _change(path, remove)
    return removed[0]


def _set_expiry(keys: list[Key]) -> list[Key]:
    """Set `verifies_until` of each key with a successor: when its last token expires."""
    lifetime = settings.ACCESS_TOKEN_EXPIRE_MINUTES * 60 + CLOCK_SKEW
    unlimited = in_order(key for key in keys if key.verifies_until is None)
    ends = {key.kid: successor.signs_from + lifetime for key, successor in pairwise(unlimited)}
    return [replace(key, verifies_until=ends[key.kid]) if key.kid in ends else key for key in keys]


def _change(path: Path, change: Callable[[list[Key], int], list[Key]]) -> list[Key]:
    """
    Args:
        change: takes the keys and the time in seconds since 1970. The time is read once, under the
            lock: otherwise a key could be older than its predecessor and would never sign.
    """
    path = path.resolve()  # replace the target of a symbolic link, not the link
    try:
        with _locked(path):
            now = int(time.time())
            if path.exists():
                keys, owner = read_keys(path), path.stat()
            else:
                keys, owner = [take_secret_key(now)], path.parent.stat()
            changed = change(keys, now)
            text = format_keys(changed)
            parse_keys(text.encode(), path)  # check that it can be read before it is written
            _replace(path, text, owner)
            return changed
    except OSError as error:
        raise KeyFileError(f"KEYS_FILE {path} cannot be written: {error.strerror}") from None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    # A separate file that is never replaced. The kernel releases the lock if the process dies.
    lock = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, PRIVATE)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _replace(path: Path, text: str, owner: os.stat_result) -> None:
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)  # left by a killed process
    number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    with os.fdopen(number, "w") as file:
        if os.geteuid() == 0:
            os.fchown(number, owner.st_uid, owner.st_gid)  # root rotates, the server reads
        file.write(text)
        file.flush()
        os.fsync(number)
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _check_privacy(path: Path, status: os.stat_result) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        fault = f"KEYS_FILE {path} has mode {mode:04o}, so others can read it: chmod 600 {path}"
    elif status.st_uid not in {os.geteuid(), 0}:
        fault = f"KEYS_FILE {path} belongs to another user (uid {status.st_uid}): chown it"
    else:
        return
    if not settings.is_development:
        raise KeyFileError(fault)
    logger.warning("%s", fault)


def format_keys(keys: Sequence[Key]) -> str:
    return json.dumps({"keys": [_to_json(key) for key in keys]}, indent=1) + "\n"


def _to_json(key: Key) -> dict[str, Any]:
    dates = {name: getattr(key, name) for name in DATES}
    return {
        "kid": key.kid,
        "alg": key.alg,
        "use": "sig",
        **{name: format_date(date) for name, date in dates.items() if date is not None},
        **key.jwk.as_dict(private=True),
    }


def parse_keys(text: bytes, path: Path) -> list[Key]:
    """
    Raises:
        KeyFileError
    """
    try:
        items = json.loads(text)["keys"]
        keys = [_parse_key(item) for item in items]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, JoseError) as error:
        # Messages of the libraries may quote the key, so show only our own.
        reason = f": {error}" if isinstance(error, _FaultyKey) else ""
        raise KeyFileError(f"KEYS_FILE {path} is not a set of signing keys{reason}") from None
    if len({key.kid for key in keys}) != len(keys):
        raise KeyFileError(f"KEYS_FILE {path} has two keys with the same kid")
    if not any(key.verifies_until is None for key in keys):
        raise KeyFileError(f"KEYS_FILE {path} has no key without verifies_until, which must sign")
    return keys


class _FaultyKey(ValueError):
    pass


def _parse_key(item: dict[str, Any]) -> Key:
    kid, alg = item["kid"], item["alg"]
    if not (isinstance(kid, str) and KID.fullmatch(kid)):
        raise _FaultyKey("a kid must be 1 to 64 letters, digits, '.', '_', '~' and '-'")
    if alg not in KINDS:
        raise _FaultyKey(f"key {kid} must have one of these algs: {', '.join(KINDS)}")
    if item["use"] != "sig":
        raise _FaultyKey(f"key {kid} must have the use sig")
    if item["kty"] != KINDS[alg].key_type:
        raise _FaultyKey(f"key {kid} has a kty that does not match {alg}")
    # Import again from the raw key, so that no other member can contradict it.
    imported: Any = KINDS[alg].import_key(item)
    jwk = KINDS[alg].import_key(imported.raw_value)
    if flaw := find_flaw(alg, jwk):
        raise _FaultyKey(f"key {kid} {flaw}")
    made_at, signs_from, verifies_until = (_parse_date(kid, item.get(name)) for name in DATES)
    if made_at is None or signs_from is None:
        raise _FaultyKey(f"key {kid} lacks made_at or signs_from")
    return Key(kid, alg, jwk, made_at, signs_from, verifies_until)


def _parse_date(kid: str, text: str | None) -> int | None:
    if text is None:
        return None
    date = datetime.fromisoformat(text)
    if date.tzinfo is None:
        raise _FaultyKey(f"key {kid} has a date without a time zone, such as Z")
    return int(date.timestamp())


def format_date(date: int) -> str:
    return datetime.fromtimestamp(date, UTC).isoformat().replace("+00:00", "Z")
