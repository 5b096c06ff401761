"""Whom PostgreSQL runs as: it refuses root."""

import logging
import os
import pwd
import shutil
import subprocess
from pathlib import Path

from plinth.devservices.errors import EmbeddedError
from plinth.devservices.processes import Account, run_to_end, wait_until

logger = logging.getLogger(__name__)

USER = "plinth-postgres"
USERADD_SECONDS = 10


def find_account(cluster: Path) -> Account | None:
    """None is ourselves. For root it is the owner of the cluster, or else the system user.

    The owner goes first: a folder that came from a user, or from another machine, stays usable.
    """
    if os.geteuid() != 0:
        return None
    if cluster.exists() and (found := cluster.stat()).st_uid != 0:
        return Account(found.st_uid, found.st_gid)
    return find_system_user() or make_system_user()


def find_system_user() -> Account | None:
    try:
        found = pwd.getpwnam(USER)
    except KeyError:
        return None
    return Account(found.pw_uid, found.pw_gid)


def make_system_user() -> Account:
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd is None:
        raise EmbeddedError(
            "PostgreSQL does not run as root, and there is no useradd to make a user for it: run "
            "as a plain user, or set DATABASE_URL to a PostgreSQL of your own."
        )
    command = [useradd, "--system", "--user-group", "--no-create-home", "--home-dir=/nonexistent"]
    command += ["--shell=/usr/sbin/nologin", USER]

    def made() -> bool:
        """Another process may do the same right now, and then useradd fails for one of the two."""
        run_to_end(command, log=subprocess.DEVNULL, timeout=USERADD_SECONDS)
        return find_system_user() is not None

    if not wait_until(made, USERADD_SECONDS) or not (account := find_system_user()):
        raise EmbeddedError(
            f"PostgreSQL does not run as root, and useradd could not make the user {USER} for it: "
            f"make that user, or set DATABASE_URL to a PostgreSQL of your own."
        )
    logger.info("Made the system user %s for PostgreSQL, which does not run as root", USER)
    return account
