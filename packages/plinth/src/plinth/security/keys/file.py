"""`KEYS_FILE`: a private JWK set (RFC 7517) with three members of our own in each key, `made_at`,
`signs_from` and `verifies_until`. Whoever reads it can sign, so it is for its owner's eyes only.

It is changed under a lock, and put in the place of the old one whole: whoever reads it without the
lock reads either.
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

ROTATE = "make it with `plinth keys rotate`"
KID = re.compile(r"[A-Za-z0-9._~-]{1,64}")
MAX_FILE_BYTES = 1024 * 1024
PRIVATE = 0o600
OURS = ("made_at", "signs_from", "verifies_until")


class KeyFileError(Exception):
    """`KEYS_FILE` cannot be used. The text says why, and what to do, and shows nothing of a key."""


def read_keys(path: Path) -> list[Key]:
    """
    Raises:
        KeyFileError: it is missing, others can read it, or it does not hold what it should.
    """
    try:
        with path.open("rb") as file:
            _check_privacy(path, os.fstat(file.fileno()))
            text = file.read(MAX_FILE_BYTES)
    except FileNotFoundError:
        raise KeyFileError(f"KEYS_FILE {path} is not there: {ROTATE}") from None
    except OSError as error:
        raise KeyFileError(f"KEYS_FILE {path} cannot be read: {error.strerror}") from None
    return parse_keys(text, path)


def rotate_keys(path: Path, alg: str, *, after: int) -> tuple[Key, Key]:
    """Make a key that signs `after` seconds from now on. The others go on verifying until the last
    token that they sign has lived out its time; those that are through are removed.

    Returns:
        The new key, and the one that signs until then.

    Raises:
        KeyFileError: it cannot be read, or not be written.
    """
    added: list[Key] = []

    def add(keys: list[Key], now: int) -> list[Key]:
        added.append(make_key(alg, made_at=now, signs_from=now + after))
        return _date([*(key for key in keys if key.holds_at(now)), *added])

    keys = _change(path, add)
    return added[0], find_signing_key(keys, added[0].made_at)


def revoke_key(path: Path, kid: str) -> Key:
    """Take a key away, and with it every token that it signed.

    Raises:
        KeyFileError: there is no such key, or no other that could sign in its place.
    """
    removed: list[Key] = []

    def take_away(keys: list[Key], _: int) -> list[Key]:
        removed.extend(key for key in keys if key.kid == kid)
        if not removed:
            raise KeyFileError(f"there is no key {kid} in {path}: see `plinth keys list`")
        left = [key for key in keys if key.kid != kid]
        if not any(key.verifies_until is None for key in left):
            raise KeyFileError(f"{kid} is the newest key: first `plinth keys rotate --after 0s`")
        return left

    _change(path, take_away)
    return removed[0]


def _date(keys: list[Key]) -> list[Key]:
    """Say of each key that has a successor when its last token will have died."""
    lifetime = settings.ACCESS_TOKEN_EXPIRE_MINUTES * 60 + CLOCK_SKEW
    undated = in_order(key for key in keys if key.verifies_until is None)
    ends = {key.kid: successor.signs_from + lifetime for key, successor in pairwise(undated)}
    return [replace(key, verifies_until=ends[key.kid]) if key.kid in ends else key for key in keys]


def _change(path: Path, change: Callable[[list[Key], int], list[Key]]) -> list[Key]:
    """
    Args:
        change: gets the keys and the time, in seconds since 1970. The time is read once and under
            the lock: with two, a key could be older than the one before it, and would never sign.
    """
    path = path.resolve()  # else a link would be replaced, and not what it points to
    try:
        with _locked(path):
            now = int(time.time())
            if path.exists():
                keys, owner = read_keys(path), path.stat()
            else:
                keys, owner = [take_secret_key(now)], path.parent.stat()
            changed = change(keys, now)
            text = format_keys(changed)
            parse_keys(text.encode(), path)  # what we could not read again is not written
            _replace(path, text, owner)
            return changed
    except OSError as error:
        raise KeyFileError(f"KEYS_FILE {path} cannot be written: {error.strerror}") from None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    # A file of its own, which is never replaced; the kernel frees the lock of whoever dies.
    lock = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, PRIVATE)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _replace(path: Path, text: str, owner: os.stat_result) -> None:
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)  # of one who was killed
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


def _check_privacy(path: Path, found: os.stat_result) -> None:
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        fault = f"KEYS_FILE {path} has mode {mode:04o}, so others can read it: chmod 600 {path}"
    elif found.st_uid not in {os.geteuid(), 0}:
        fault = f"KEYS_FILE {path} belongs to another user (uid {found.st_uid}): chown it"
    else:
        return
    if not settings.is_development:
        raise KeyFileError(fault)
    logger.warning("%s", fault)


def format_keys(keys: Sequence[Key]) -> str:
    return json.dumps({"keys": [_to_json(key) for key in keys]}, indent=1) + "\n"


def _to_json(key: Key) -> dict[str, Any]:
    dates = {name: getattr(key, name) for name in OURS}
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
        listed = json.loads(text)["keys"]
        found = [_parse_key(item) for item in listed]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, JoseError) as error:
        # The libraries' own texts may quote what they read: only ours is shown.
        why = f": {error}" if isinstance(error, _FaultyKey) else ""
        raise KeyFileError(f"KEYS_FILE {path} does not hold a set of signing keys{why}") from None
    if len({key.kid for key in found}) != len(found):
        raise KeyFileError(f"KEYS_FILE {path} has two keys of one kid")
    if not any(key.verifies_until is None for key in found):
        raise KeyFileError(f"KEYS_FILE {path} has no key that goes on signing")
    return found


class _FaultyKey(ValueError):
    pass


def _parse_key(item: dict[str, Any]) -> Key:
    kid, alg = item["kid"], item["alg"]
    if not (isinstance(kid, str) and KID.fullmatch(kid)):
        raise _FaultyKey("a kid is 1 to 64 letters, digits, '.', '_', '~' and '-'")
    if alg not in KINDS:
        raise _FaultyKey(f"key {kid} has an alg other than {', '.join(KINDS)}")
    if item["use"] != "sig":
        raise _FaultyKey(f"key {kid} is not for signing")
    if item["kty"] != KINDS[alg].key_type:
        raise _FaultyKey(f"key {kid} has another kty than {alg} asks for")
    # Read twice, the second time from the numbers alone: no member can say other than they do.
    given: Any = KINDS[alg].import_key(item)
    jwk = KINDS[alg].import_key(given.raw_value)
    if flaw := find_flaw(alg, jwk):
        raise _FaultyKey(f"key {kid} {flaw}")
    made_at, signs_from, verifies_until = (_parse_date(kid, item.get(name)) for name in OURS)
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
