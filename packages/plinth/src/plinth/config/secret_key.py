"""The key that signs: what makes one weak, and the one that development keeps for itself."""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from plinth.folders import make_private_folder

# RFC 7518, 3.2: a key of the size of the hash output or larger MUST be used.
MIN_KEY_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}  # bytes
MIN_DISTINCT_CHARACTERS = 10
WELL_KNOWN = ("change", "secret", "example", "password", "your-", "your_", "default", "test-key")


def find_weakness(key: str, algorithm: str = "HS256") -> str | None:
    """Say what is wrong with `key` as a signing key, or None where nothing is."""
    if not key:
        return "is not set"
    if len(key.encode()) < MIN_KEY_BYTES[algorithm]:
        return f"is shorter than the {MIN_KEY_BYTES[algorithm]} bytes that {algorithm} asks for"
    if any(word in key.lower() for word in WELL_KNOWN):
        return "looks like a well-known one"
    if len(set(key)) < MIN_DISTINCT_CHARACTERS:
        return "repeats a few characters"
    return None


def keep_development_key(data_dir: Path) -> str:
    """Read `<data_dir>/secret_key`, or make it: tokens live on over restarts and between workers.

    Raises:
        ValueError: the folder cannot be written, or the key in it is empty.
    """
    path = data_dir / "secret_key"
    try:
        key = path.read_text().strip() if path.exists() else _make_key(path)
    except OSError as error:
        raise ValueError(
            f"SECRET_KEY is not set and cannot be kept in {path} ({error.strerror}): "
            "set SECRET_KEY, or DATA_DIR to a folder that can be written"
        ) from None
    if not key:
        raise ValueError(f"{path} is empty: remove it, and a new key is made")
    return key


def _make_key(path: Path) -> str:
    make_private_folder(path.parent)
    with NamedTemporaryFile("w", dir=path.parent, prefix=f"{path.name}.") as draft:  # mode 0600
        draft.write(secrets.token_urlsafe(48))
        draft.flush()
        with suppress(FileExistsError):
            os.link(draft.name, path)  # atomic: of two processes that start at once, one key stays
    return path.read_text().strip()
