"""Files that a command writes: whole or not at all, for their owner only, over none unasked."""

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
        raise Failure(f"{path} is there already: choose another name, or pass --force.")


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Another name in the same folder until it is whole; the caller puts it in its place.

    Raises:
        Failure
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise Failure(
            f"{path.parent.absolute()} cannot be written to: {error.strerror}."
        ) from error
    try:
        yield draft
    finally:
        draft.unlink(missing_ok=True)
