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
    """The keys as they are now: those of the file, or SECRET_KEY's alone.

    The file is looked at once a second at most, and once more when a token names a key that is not
    here. One that cannot be used leaves the keys as they were.

    Args:
        path: the file; None for SECRET_KEY alone.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._keys: Sequence[Key] = () if path else (take_secret_key(0),)
        self._by_kid = {key.kid: key for key in self._keys}
        self._stamp: object = None
        self._look_at = self._ask_at = 0.0 if path else inf

    def load(self) -> None:
        """Look at the file now, whenever it was looked at last.

        Raises:
            KeyFileError: it is missing or cannot be used. In development a missing one means
                SECRET_KEY alone. Not raised once there are keys: they stay.
        """
        self._look()

    @property
    def signing_key(self) -> Key:
        self._look_if_due()
        return find_signing_key(self._keys, time.time())

    @property
    def verifying_keys(self) -> Sequence[Key]:
        """The one that is to sign next included: it is known before its first token comes."""
        self._look_if_due()
        now = time.time()
        return [key for key in self._keys if key.holds_at(now)]

    def find(self, kid: str) -> Key | None:
        """The key of this name, if the tokens that it signed still hold."""
        self._look_if_due()
        key = self._by_kid.get(kid)
        if key is None and time.monotonic() >= self._ask_at:
            self._ask_at = time.monotonic() + RELOAD_SECONDS
            self._look()
            key = self._by_kid.get(kid)
        return key if key and key.holds_at(time.time()) else None

    def _look_if_due(self) -> None:
        if time.monotonic() >= self._look_at or not self._keys:
            self._look()

    def _look(self) -> None:
        if self._path is None:
            return
        self._look_at = time.monotonic() + RELOAD_SECONDS
        stamp = _stamp(self._path)  # before it is read: a change meanwhile is seen the next time
        if self._keys and stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._keys = self._read(self._path, stamp)
        except KeyFileError as error:
            if not self._keys:
                raise
            # Once for each state of the file.
            logger.error("the signing keys stay as they were: %s", error)  # noqa: TRY400
            return
        self._by_kid = {key.kid: key for key in self._keys}
        signer = find_signing_key(self._keys, time.time())
        logger.info("%d signing keys; %s signs", len(self._keys), signer.kid)

    def _read(self, path: Path, stamp: object) -> Sequence[Key]:
        if stamp is None and settings.is_development and not self._keys:
            logger.warning("%s is not there: SECRET_KEY signs until `plinth keys rotate`", path)
            return (take_secret_key(0),)
        return read_keys(path)


def _stamp(path: Path) -> object:
    """What differs when the file does, in its mode and owner too; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size


ring = KeyRing(settings.KEYS_FILE)
