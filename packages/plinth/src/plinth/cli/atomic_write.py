"""Write a file atomically, readable by its owner only."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plinth.cli.failure import Failure


def refuse_existing(path: Path, *, force: bool) -> None:
    """
    Raises:
        Failure
    """
    if path.exists() and not force:
        raise Failure(f"{path} exists already: choose another name, or pass --force.")


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a new temporary file in the same folder, which the caller moves to `path`.

    Raises:
        Failure
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise Failure(f"Cannot write to {path.parent.absolute()}: {error.strerror}.") from error
    try:
        yield draft
    finally:
        draft.unlink(missing_ok=True)
