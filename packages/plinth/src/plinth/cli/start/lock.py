"""Compile the requirements of a new project, with hashes and with no address of an index."""

import subprocess
from pathlib import Path

from plinth.cli.start.wheel import find_uv

RUNTIME, DEVELOPMENT = "requirements.txt", "requirements-dev.txt"
# As `make lock` of the project has it; --find-links also shows installers the way to the wheel.
COMPILE = (
    "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes",
    "--no-header", "--no-emit-index-url", "--find-links", "wheels", "--emit-find-links",
    "pyproject.toml",
)  # fmt: skip
STEPS = (
    ("--output-file", RUNTIME),
    ("--constraint", RUNTIME, "--group", "dev", "--output-file", DEVELOPMENT),
)


def compile_requirements(project: Path, pins: str) -> str | None:
    """Write both files of requirements.

    Args:
        pins: `name==version` in each line, to be preferred to newer versions.

    Returns:
        Why it was not possible, and then neither file exists; None where it was.
    """
    uv = find_uv()
    if uv is None:
        return "uv is not installed"
    for step in STEPS:
        (project / step[-1]).write_text(pins, encoding="utf-8")  # what a lock held is preferred
        command = [uv, *COMPILE, *step]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
        if done.returncode:
            for name in (RUNTIME, DEVELOPMENT):
                (project / name).unlink(missing_ok=True)
            return f"uv could not resolve them ({_reason(done.stderr)})"
    return None


def _reason(stderr: str) -> str:
    """Return the innermost cause that uv printed."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return lines[-1].rpartition("aused by: ")[2] if lines else "it gave no reason"
