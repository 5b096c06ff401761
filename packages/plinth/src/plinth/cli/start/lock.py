"""Compile the requirements of a project, with hashes and without the URL of a package index."""

import subprocess
from pathlib import Path

from plinth.cli.start.wheel import find_uv

RUNTIME, DEVELOPMENT = "requirements.txt", "requirements-dev.txt"
# The same command as `make lock` of the project. The emitted --find-links lets pip find the wheel.
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
        pins: lines of `name==version`; uv prefers these versions to newer ones.

    Returns:
        Why it failed, and then neither file exists; None if it succeeded.
    """
    uv = find_uv()
    if uv is None:
        return "uv is not installed"
    for step in STEPS:
        (project / step[-1]).write_text(pins, encoding="utf-8")  # uv keeps the versions in it
        command = [uv, *COMPILE, *step]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
        if done.returncode:
            for name in (RUNTIME, DEVELOPMENT):
                (project / name).unlink(missing_ok=True)
            return f"uv could not resolve them ({_reason(done.stderr)})"
    return None


def _reason(stderr: str) -> str:
    """Return the innermost cause in uv's output."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return lines[-1].rpartition("aused by: ")[2] if lines else "no reason given"
