import logging
import time
from collections.abc import Sequence
from math import inf
from pathlib import Path

from plinth.config import settings
from plinth.security.keys.file import KeyFileError, read_keys
from plinth.security.keys.key import Key, find_signing_key, take_secret_key

logger = logging.getLogger(__name__)

RELOAD_SECONDS = 1


class KeyRing:
    """The current keys: those of the file, or SECRET_KEY.

    The file is checked for changes at most once a second, and again if a token names an unknown
    key. If a changed file cannot be used, the previous keys stay.

    Args:
        path: the file; None for SECRET_KEY.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._keys: Sequence[Key] = () if path else (take_secret_key(0),)
        self._by_kid = {key.kid: key for key in self._keys}
        self._stamp: object = None
        self._check_at = self._retry_at = 0.0 if path else inf

    def load(self) -> None:
        """Check the file now.

        Raises:
            KeyFileError: the file is missing or cannot be used, and no keys are loaded yet. In
                development, SECRET_KEY replaces a missing file.
        """
        self._check()

    @property
    def signing_key(self) -> Key:
        self._check_if_due()
        return find_signing_key(self._keys, time.time())

    @property
    def verifying_keys(self) -> Sequence[Key]:
        """The valid keys, including the next signing key, which services need in advance."""
        self._check_if_due()
        now = time.time()
        return [key for key in self._keys if key.holds_at(now)]

    def find(self, kid: str) -> Key | None:
        """Return the key with this id, if its tokens are still valid."""
        self._check_if_due()
        key = self._by_kid.get(kid)
        if key is None and time.monotonic() >= self._retry_at:
            self._retry_at = time.monotonic() + RELOAD_SECONDS
            self._check()
            key = self._by_kid.get(kid)
        return key if key and key.holds_at(time.time()) else None

    def _check_if_due(self) -> None:
        if time.monotonic() >= self._check_at or not self._keys:
            self._check()

    def _check(self) -> None:
        if self._path is None:
            return
        self._check_at = time.monotonic() + RELOAD_SECONDS
        stamp = _stamp(self._path)  # before reading: the next check sees a concurrent change
        if self._keys and stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._keys = self._read(self._path, stamp)
        except KeyFileError as error:
            if not self._keys:
                raise
            # Logged once for each state of the file.
            logger.error("the signing keys stay unchanged: %s", error)  # noqa: TRY400
            return
        self._by_kid = {key.kid: key for key in self._keys}
        signer = find_signing_key(self._keys, time.time())
        logger.info("loaded %d signing keys; %s signs", len(self._keys), signer.kid)

    def _read(self, path: Path, stamp: object) -> Sequence[Key]:
        if stamp is None and settings.is_development and not self._keys:
            logger.warning("%s does not exist: SECRET_KEY signs until `plinth keys rotate`", path)
            return (take_secret_key(0),)
        return read_keys(path)


def _stamp(path: Path) -> object:
    """Return a value that changes with the file, its mode or its owner; None if it is missing."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size


ring = KeyRing(settings.KEYS_FILE)
