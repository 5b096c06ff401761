"""Installation of the other frameworks in folders separate from our packages."""

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
NODE_PACKAGES = ("fastify@5", "@fastify/jwt@10", "pg@8")
PATIENCE = 300


def python(folder: Path, *, wanted: bool) -> str | None:
    """Return the interpreter with the packages, or None without them.

    Args:
        wanted: install missing packages.
    """
    environment = folder / "venv"
    interpreter, done = environment / "bin" / "python", environment / ".installed"
    requirements = HERE / "requirements.txt"
    if done.exists() and done.read_text() == requirements.read_text():
        return str(interpreter)
    uv = shutil.which("uv") or shutil.which("uv", path=Path(sys.executable).parent)
    if not wanted or not uv:
        return None
    steps: list[list[str | Path]] = [
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, environment],
        [uv, "pip", "install", "--quiet", "--python", interpreter, "-r", requirements],
    ]
    if not all(_run(step) for step in steps):
        return None
    done.write_text(requirements.read_text())
    return str(interpreter)


def node(folder: Path, *, wanted: bool) -> str | None:
    """Return the folder whose node_modules has Fastify, or None without it."""
    place = folder / "node"
    done = place / ".installed"
    if done.exists() and done.read_text() == str(NODE_PACKAGES):
        return str(place)
    npm = shutil.which("npm")
    if not wanted or not npm:
        return None
    place.mkdir(parents=True, exist_ok=True)
    options: list[str | Path] = [
        "--silent",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--prefix",
        place,
    ]
    if not _run([npm, "install", *options, *NODE_PACKAGES]):
        return None
    done.write_text(str(NODE_PACKAGES))
    return str(place)


def _run(command: list[str | Path]) -> bool:
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    if done.returncode != 0:
        print(f"skipped, because {command[0]} failed: {done.stderr.strip()[-300:]}")
    return done.returncode == 0
