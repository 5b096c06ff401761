"""The system user that runs PostgreSQL, which refuses to run as root."""

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
    """Return the account to run the server as; None for the current user.

    For root, it is the owner of the cluster, so that a copied folder stays usable, or else the
    system user.
    """
    if os.geteuid() != 0:
        return None
    if cluster.exists() and (found := cluster.stat()).st_uid != 0:
        return Account(found.st_uid, found.st_gid)
    return find_system_user() or create_system_user()


def find_system_user() -> Account | None:
    try:
        found = pwd.getpwnam(USER)
    except KeyError:
        return None
    return Account(found.pw_uid, found.pw_gid)


def create_system_user() -> Account:
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd is None:
        raise EmbeddedError(
            "PostgreSQL refuses to run as root, and useradd is not installed: run as another user, "
            "or set DATABASE_URL to your own PostgreSQL."
        )
    command = [useradd, "--system", "--user-group", "--no-create-home", "--home-dir=/nonexistent"]
    command += ["--shell=/usr/sbin/nologin", USER]

    def created() -> bool:
        """Retry: useradd fails if another process creates the user at the same time."""
        run_to_end(command, log=subprocess.DEVNULL, timeout=USERADD_SECONDS)
        return find_system_user() is not None

    if not wait_until(created, USERADD_SECONDS) or not (account := find_system_user()):
        raise EmbeddedError(
            f"PostgreSQL refuses to run as root, and useradd could not create the user {USER}: "
            "create that user, or set DATABASE_URL to your own PostgreSQL."
        )
    logger.info("Created the system user %s, because PostgreSQL refuses to run as root", USER)
    return account
