"""Commands as another user of this machine, as services run."""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

UID = 12345  # without an account, as on OpenShift

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can become another user"
)


def as_other_user(*command: str) -> list[str]:
    """Return the command wrapped to run without root privileges."""
    return [*_become_other(), *command]


def open_the_way(folder: Path) -> None:
    """Let other users traverse the parent folders, which pytest creates for one user only."""
    for parent in folder.parents:
        if not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)


@cache
def _become_other() -> list[str]:
    plain = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"]
    # Another user cannot start a Python below /root without the capability to read everything.
    reading = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
    for way in ([*plain, "--inh-caps=-all"], [*plain, *reading]):
        run = [*way, sys.executable, "-c", "import sys; print(sys.version)"]
        done = subprocess.run(run, capture_output=True, text=True, check=False)
        # If it cannot run the Python of the virtual environment, it may find another one.
        if done.stdout.strip() == sys.version:
            return way
    pytest.skip(f"no other user can run {sys.executable}")
