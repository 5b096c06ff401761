import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plinth.cli.failure import Failure
from plinth.cli.output import confirm, out
from plinth.config import settings
from plinth.security.keys import (
    Key,
    KeyFileError,
    find_signing_key,
    format_date,
    in_order,
    read_keys,
    revoke_key,
    rotate_keys,
)
from plinth.security.keys.key import show_public_keys

# Twice the max-age of /.well-known/jwks.json.
ACTIVATION_DELAY_SECONDS = 600
COLUMNS = ("kid", "alg", "state", "made_at", "signs_from", "verifies_until")


def rotate(alg: str | None, after: int | None) -> None:
    path = find_file()
    with key_file_errors():
        if not alg:
            alg = in_order(read_keys(path))[-1].alg if path.exists() else settings.ALGORITHM
        if after is None:
            after = 0 if alg.startswith("HS") else ACTIVATION_DELAY_SECONDS
        new, signing = rotate_keys(path, alg, after=after)
    begins = "now" if new.kid == signing.kid else f"from {format_date(new.signs_from)}"
    out.print(f"{new.kid} ({new.alg}) was added to {path} and signs {begins}.", markup=False)


def show(*, as_json: bool) -> None:
    path = find_file()
    with key_file_errors():
        rows = describe(read_keys(path), time.time())
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    lines = [COLUMNS, *(tuple(row[name] or "-" for name in COLUMNS) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())


def export() -> None:
    path = find_file()
    now = time.time()
    with key_file_errors():
        public = show_public_keys([key for key in read_keys(path) if key.holds_at(now)])
    print(public.model_dump_json(exclude_none=True, indent=1))


def revoke(kid: str, *, yes: bool) -> None:
    path = find_file()
    if not yes:
        confirm(f"All access tokens signed by {kid} become invalid at once. Continue?")
    with key_file_errors():
        revoke_key(path, kid)
    out.print(f"Removed key {kid} from {path}.", markup=False)


def find_file() -> Path:
    if settings.KEYS_FILE is None:
        raise Failure(
            "KEYS_FILE is not set, so SECRET_KEY signs the tokens. To use a key file, set it to a "
            "path such as /var/lib/plinth/keys.json (docs/how-to/keys.md)."
        )
    return settings.KEYS_FILE


@contextmanager
def key_file_errors() -> Iterator[None]:
    """Turn errors of the key file into messages."""
    try:
        yield
    except KeyFileError as error:
        raise Failure(f"{error}.") from error


def describe(keys: list[Key], now: float) -> list[dict[str, str | None]]:
    """Describe the keys without their secrets, newest first."""
    signing = find_signing_key(keys, now)
    return [
        {
            "kid": key.kid,
            "alg": key.alg,
            "state": _name_state(key, signing, now),
            "made_at": format_date(key.made_at),
            "signs_from": format_date(key.signs_from),
            "verifies_until": format_date(key.verifies_until) if key.verifies_until else None,
        }
        for key in reversed(in_order(keys))
    ]


def _name_state(key: Key, signing: Key, now: float) -> str:
    if key.kid == signing.kid:
        return "signs"
    if not key.holds_at(now):
        return "dead"
    return "next" if key.signs_from > now else "verifies"
