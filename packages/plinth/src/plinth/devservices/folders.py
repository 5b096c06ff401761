"""The data folder and the folder of the sockets."""

import hashlib
import logging
import os
import re
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

from plinth.devservices.packages import EmbeddedError
from plinth.devservices.processes import Account
from plinth.folders import make_private_folder

logger = logging.getLogger(__name__)

SOCKET_NAME = ".s.PGSQL.5432"

# The kernel's limit is 104 bytes on macOS and 108 on Linux, with the terminating zero.
MAX_SOCKET_PATH_BYTES = 100

# Characters that need no escape in URLs and in the host lists of PostgreSQL and asyncpg.
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")


def make_data_folder(data_dir: Path) -> Path:
    """Create the folder if it is missing, private to this user, and return its real path."""
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
        "set DATA_DIR to a writable folder."
    )


def make_run_folder(data_dir: Path, name: str, account: Account | None) -> Path:
    """Create the folder for the socket of the server `name`.

    It is in the data folder or, if that path is too long, in the temporary folder. There each
    server has its own, so that one can be removed while another server starts.
    """
    run = default_run_folder(data_dir)
    if not fits(run):
        digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:10]
        run = Path(tempfile.gettempdir(), f"plinth-{os.geteuid()}-{digest}-{name}")
    if not fits(run):
        raise EmbeddedError(
            f"The path {run} is too long for a socket: set TMPDIR to a folder with a short path."
        )
    run.mkdir(mode=0o700, exist_ok=True)
    if run != default_run_folder(data_dir):
        check_owner(run, account)
    if account:
        os.chown(run, account.uid, account.gid)
        allow_traversal(account, [run])  # root's temporary folder may be its own
    return run


def remove_sockets(run: Path, names: Iterable[str]) -> None:
    """Remove the files of a killed server: PostgreSQL would trust the process id in one."""
    for name in names:
        (run / name).unlink(missing_ok=True)


def remove_run_folder(run: Path, data_dir: Path) -> None:
    """Remove a run folder in the temporary folder; the default one is shared by both servers."""
    if run == default_run_folder(data_dir):
        return
    try:
        run.rmdir()
    except OSError as error:
        logger.warning("Could not remove the folder %s: %s", run, error)


def default_run_folder(data_dir: Path) -> Path:
    return data_dir / "run"


def fits(run: Path) -> bool:
    longest = os.fsencode(run / SOCKET_NAME)
    return len(longest) <= MAX_SOCKET_PATH_BYTES and PLAIN_PATH.fullmatch(str(run)) is not None


def check_owner(run: Path, account: Account | None) -> None:
    """Refuse a folder that another user created first, and whose sockets they would own."""
    found = run.lstat()
    trusted = {os.geteuid(), account.uid if account else os.geteuid()}
    private = stat.S_ISDIR(found.st_mode) and not stat.S_IMODE(found.st_mode) & 0o077
    if not private or found.st_uid not in trusted:
        raise EmbeddedError(
            f"The folder {run} belongs to another user, or is open to others: remove it, or set "
            "TMPDIR to another folder."
        )


def allow_traversal(account: Account, targets: Iterable[Path]) -> None:
    """Let `account` traverse the parents of `targets`: set o+x on each that lacks it."""
    for folder in {parent for target in targets for parent in target.parents}:
        found = folder.stat()
        if can_traverse(found, account):
            continue
        try:
            folder.chmod(stat.S_IMODE(found.st_mode) | stat.S_IXOTH)
        except OSError as error:
            raise unusable(folder, error) from error
        logger.info("Added o+x to %s, so that PostgreSQL's user can traverse it", folder)


def can_traverse(found: os.stat_result, account: Account) -> bool:
    if found.st_uid == account.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == account.gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)
