"""Commands of ours as another user of this machine, as services run."""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

UID = 12345  # of no account, as OpenShift gives one

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can become another user"
)


def as_other_user(*command: str) -> list[str]:
    """The command without root. It may write nowhere but where any user may."""
    return [*_become_other(), *command]


def open_the_way(folder: Path) -> None:
    """Let other users pass the folders above, which pytest makes for this user alone."""
    for parent in folder.parents:
        if not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)


@cache
def _become_other() -> list[str]:
    plain = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"]
    # A Python below /root can be started by nobody else, unless reading is allowed everywhere.
    reading = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
    for way in ([*plain, "--inh-caps=-all"], [*plain, *reading]):
        run = [*way, sys.executable, "-c", "import sys; print(sys.version)"]
        done = subprocess.run(run, capture_output=True, text=True, check=False)
        # A venv whose Python it may not run takes the system's, which lacks what it was made with.
        if done.stdout.strip() == sys.version:
            return way
    pytest.skip(f"no other user can run {sys.executable}")
