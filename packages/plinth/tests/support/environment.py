"""The environment that settings are read from, in this process and in others."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[4]
PACKAGE = ROOT / "packages" / "plinth"
LIBRARY = PACKAGE / "src" / "plinth"
TESTS = PACKAGE / "tests"
FINE_KEY = "zV4nQ8sKe1Wm7Tb2XcY9Lr5Hd0Jf3GpAu6iBoN-wRyM"  # used only in tests
COMPLETE = {
    "ENVIRONMENT": "production",
    "SECRET_KEY": FINE_KEY,
    "DATABASE_URL": "postgresql://app@db.internal/app",
    "REDIS_URL": "redis://cache.internal/0",
}
# isolation.py sets PLINTH_ENV_FILE to an empty value, so no process reads the developer's .env.
INHERITED = (
    "PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "COVERAGE_PROCESS_CONFIG", "PLINTH_ENV_FILE",
)  # fmt: skip


def run_python(
    code: str, *arguments: str, cwd: Path, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run `code` in a new interpreter with these settings and no others."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd,
        env=bare_environment() | settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def bare_environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return kept | {"PYTHONPATH": python_path(ROOT)}


def python_path(checkout: Path) -> str:
    """Return the PYTHONPATH of a checkout's application, library, and library tests."""
    package = checkout / "packages" / "plinth"
    return os.pathsep.join(map(str, [checkout, package / "src", package]))


def find_sources(file: str) -> list[Path]:
    """Return the files that define the tests of a file; none if it does not exist.

    `tests/test_contract.py` imports its tests from the library.

    Args:
        file: a path relative to the repository or to packages/plinth.
    """
    path = next((it for it in (ROOT / file, PACKAGE / file) if it.is_file()), ROOT / file)
    if path.name == "test_contract.py":
        return sorted((LIBRARY / "testing" / "contract").glob("*.py"))
    return [path] if path.is_file() else []
