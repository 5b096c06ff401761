"""Builds of the library from this checkout."""

import subprocess
import sys
from pathlib import Path

from tests.support.environment import ROOT, bare_environment

LIBRARY = ROOT / "packages" / "plinth"


def build(kind: str, folder: Path, source: Path = LIBRARY) -> Path:
    """Build a `wheel` or an `sdist` into the folder, with the installed hatchling."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", folder],
        cwd=source,
        env=bare_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return built
