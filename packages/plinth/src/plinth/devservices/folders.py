"""The data folder, and the folder of the sockets."""

import hashlib
import logging
import os
import re
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

from plinth.devservices.errors import EmbeddedError
from plinth.devservices.processes import Account
from plinth.folders import make_private_folder

logger = logging.getLogger(__name__)

SOCKET_NAME = ".s.PGSQL.5432"

# The kernel takes 104 bytes on macOS and 108 on Linux, with the closing zero.
MAX_SOCKET_PATH_BYTES = 100

# What stands for itself in a URL and in PostgreSQL's and asyncpg's comma-separated lists.
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")


def make_data_folder(data_dir: Path) -> Path:
    """The folder's real path. Nobody else may look inside."""
    folder = data_dir.expanduser().resolve()
    try:
        make_private_folder(folder)
    except OSError as error:
        raise unusable(folder, error) from error
    return folder


def unusable(folder: Path, error: OSError) -> EmbeddedError:
    where = error.filename or folder
    return EmbeddedError(
        f"The data folder {folder} cannot be used ({error.strerror or error}: {where}): "
        "set DATA_DIR to a folder that you may write."
    )


def make_run_folder(data_dir: Path, name: str, account: Account | None) -> Path:
    """Where the server `name` has its socket: below the data, or else in the temporary folder.

    One of its own for each server in the temporary folder, so that the one that leaves can remove
    it while the other starts.
    """
    run = fallback_folder(data_dir)
    if not fits(run):
        digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:10]
        run = Path(tempfile.gettempdir(), f"plinth-{os.geteuid()}-{digest}-{name}")
    if not fits(run):
        raise EmbeddedError(f"No socket can be at {run}: set TMPDIR to a folder with a short name.")
    run.mkdir(mode=0o700, exist_ok=True)
    if run != fallback_folder(data_dir):
        check_owner(run, account)
    if account:
        os.chown(run, account.uid, account.gid)
        allow_traversal(account, [run])  # root's temporary folder may be its own
    return run


def remove_sockets(run: Path, names: Iterable[str]) -> None:
    """A server that was killed leaves them, and PostgreSQL would trust the process id in one."""
    for name in names:
        (run / name).unlink(missing_ok=True)


def remove_run_folder(run: Path, data_dir: Path) -> None:
    """From the temporary folder only: the one below the data is for both servers."""
    if run == fallback_folder(data_dir):
        return
    try:
        run.rmdir()
    except OSError as error:
        logger.warning("The folder %s stays: %s", run, error)


def fallback_folder(data_dir: Path) -> Path:
    return data_dir / "run"


def fits(run: Path) -> bool:
    longest = os.fsencode(run / SOCKET_NAME)
    return len(longest) <= MAX_SOCKET_PATH_BYTES and PLAIN_PATH.fullmatch(str(run)) is not None


def check_owner(run: Path, account: Account | None) -> None:
    """Anybody may make a folder of that name first, and would then own our sockets."""
    found = run.lstat()
    trusted = {os.geteuid(), account.uid if account else os.geteuid()}
    private = stat.S_ISDIR(found.st_mode) and not stat.S_IMODE(found.st_mode) & 0o077
    if not private or found.st_uid not in trusted:
        raise EmbeddedError(
            f"The folder {run} belongs to somebody else, or others may enter it: remove it, or set "
            "TMPDIR to another folder."
        )


def allow_traversal(account: Account, targets: Iterable[Path]) -> None:
    """Let `account` pass the folders above `targets`: one bit (o+x), where it is lacking."""
    for folder in {parent for target in targets for parent in target.parents}:
        found = folder.stat()
        if can_traverse(found, account):
            continue
        try:
            folder.chmod(stat.S_IMODE(found.st_mode) | stat.S_IXOTH)
        except OSError as error:
            raise unusable(folder, error) from error
        logger.info("Added o+x to %s, so that PostgreSQL's user can pass through it", folder)


def can_traverse(found: os.stat_result, account: Account) -> bool:
    if found.st_uid == account.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == account.gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)
