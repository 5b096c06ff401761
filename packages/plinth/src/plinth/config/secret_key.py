"""Check the signing key, and keep a generated one for development."""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from plinth.folders import make_private_folder

# RFC 7518, section 3.2: a key of the size of the hash output or larger MUST be used.
MIN_KEY_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
MIN_DISTINCT_CHARACTERS = 10
WELL_KNOWN = ("change", "secret", "example", "password", "your-", "your_", "default", "test-key")


def find_weakness(key: str, algorithm: str = "HS256") -> str | None:
    """Return the reason why the key is weak, as the rest of a sentence; None if it is not."""
    if not key:
        return "is not set"
    if len(key.encode()) < MIN_KEY_BYTES[algorithm]:
        return f"is shorter than the {MIN_KEY_BYTES[algorithm]} bytes that {algorithm} requires"
    if any(word in key.lower() for word in WELL_KNOWN):
        return "looks like a published example"
    if len(set(key)) < MIN_DISTINCT_CHARACTERS:
        return f"has fewer than {MIN_DISTINCT_CHARACTERS} different characters"
    return None


def keep_development_key(data_dir: Path) -> str:
    """Return the key in `<data_dir>/secret_key`, which is created if it is missing.

    Tokens stay valid across restarts, and all workers use the same key.

    Raises:
        ValueError: the file cannot be read or written, or it is empty.
    """
    path = data_dir / "secret_key"
    try:
        key = path.read_text().strip() if path.exists() else _make_key(path)
    except OSError as error:
        raise ValueError(
            f"SECRET_KEY is not set and cannot be stored in {path} ({error.strerror}): "
            "set SECRET_KEY, or DATA_DIR to a folder that can be written"
        ) from None
    if not key:
        raise ValueError(f"{path} is empty: remove it, so that a new key is generated")
    return key


def _make_key(path: Path) -> str:
    make_private_folder(path.parent)
    with NamedTemporaryFile("w", dir=path.parent, prefix=f"{path.name}.") as draft:  # mode 0600
        draft.write(secrets.token_urlsafe(48))
        draft.flush()
        with suppress(FileExistsError):
            os.link(draft.name, path)  # atomic: two processes that start at once get the same key
    return path.read_text().strip()
