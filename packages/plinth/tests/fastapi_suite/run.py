"""FastAPI's own test suite, with and without our dispatcher: `make test-fastapi`, some 15 minutes.

The source distribution on the package index carries the tests. They run as they are, and with `def`
endpoints turned into `async def`; each once without and once with the dispatcher. Exits 1 where a
test fails with it alone and is not in `on-purpose.txt`.

    python -m tests.fastapi_suite.run [FOLDER]    # keeps its environment and results in FOLDER
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from tests.fastapi_suite.asyncify import asyncify
from tests.fastapi_suite.results import judge, locate, new_failures, read

HERE = Path(__file__).parent
ROOT = HERE.parents[3]
# Packages that FastAPI's tests need in addition to our own pins.
NEEDED = (
    "anyio[trio]", "dirty-equals", "flask>=3,<4", "inline-snapshot", "pwdlib[argon2]", "pyjwt",
    "sqlmodel", "strawberry-graphql<1", "a2wsgi<=2", "psutil", "pytest-timeout", "pytest-codspeed",
    "python-slugify", "httpx", "orjson", "ujson", "itsdangerous", "pydantic-extra-types",
    "fastapi-cli", "fastar", "logfire", "sentry-sdk", "opentelemetry-instrumentation-fastapi",
)  # fmt: skip
# Skip benchmarks and FastAPI's telemetry, which Plinth disables in favor of its own.
LEFT_OUT = ("tests/benchmarks", "tests/memory_benchmarks", "tests/test_telemetry")
PIN = re.compile(r"[a-z].*==")
WORKERS = os.environ.get("WORKERS", "2")


def main(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    python = prepare_environment(folder)
    source = download(folder, python)
    good = True
    for name in ("as it is", "asyncified"):
        checkout = folder / name.replace(" ", "-")
        shutil.rmtree(checkout, ignore_errors=True)
        shutil.copytree(source, checkout)
        changed = asyncify(checkout) if name == "asyncified" else 0
        print(f"FastAPI {version('fastapi')}, {name}: {changed} endpoints changed", flush=True)
        without, with_it = (run(checkout, python, how) for how in ("off", "on"))
        new = new_failures(without, with_it)
        if new:  # alone: on a busy machine a test may exceed its time limit
            with_it |= run(checkout, python, "on", sorted(map(locate, new)))
        good &= judge(without, with_it, checkout / "on.counts", HERE / "on-purpose.txt")
    print("no new failure" if good else "NEW FAILURES: see above, and the logs in", folder)
    return 0 if good else 1


def prepare_environment(folder: Path) -> Path:
    """Install our pins and the requirements of FastAPI's tests in a separate environment."""
    python = folder / "venv" / "bin" / "python"
    pins = folder / "pins.txt"
    locked = (ROOT / "requirements-dev.txt").read_text()
    pins.write_text(
        "\n".join(re.findall(r"^[a-z][^ \\]*==[^ \\]*(?: ; [^\\\n]*)?", locked, re.MULTILINE))
    )
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    uv = shutil.which("uv") or str(ROOT / ".venv" / "bin" / "uv")
    install: list[str | Path] = [uv, "pip", "install", "--quiet", "--python", python]
    subprocess.run([*install, "-r", pins], check=True)
    subprocess.run([*install, "-c", pins, *NEEDED], check=True)
    return python


def download(folder: Path, python: Path) -> Path:
    """Unpack the tests of the installed version, without its package."""
    wanted = f"fastapi=={version('fastapi')}"
    archive = folder / f"fastapi-{version('fastapi')}.tar.gz"
    if not archive.exists():
        fetch: list[str | Path] = [
            python,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--no-binary",
            "fastapi",
        ]
        subprocess.run([*fetch, "--dest", folder, wanted], check=True)
    source = folder / "source"
    shutil.rmtree(source, ignore_errors=True)
    with tarfile.open(archive) as opened:
        opened.extractall(source, filter="data")
    (inner,) = source.iterdir()
    shutil.rmtree(inner / "fastapi")
    return inner


def run(checkout: Path, python: Path, how: str, tests: Sequence[str] = ()) -> dict[str, str]:
    """By each test its failure's message, or nothing.

    Args:
        tests: files and names; all, in parallel, where there are none.
    """
    name = f"again-{how}" if tests else how
    log, result, counts = (checkout / f"{name}.{it}" for it in ("log", "xml", "counts"))
    counts.write_text("")
    left_out = [f"--ignore={it}" for it in LEFT_OUT]
    what = tests or ["-n", WORKERS, "--dist", "loadfile", *left_out, "tests"]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, [ROOT, ROOT / "packages" / "plinth" / "src", HERE])),
        "SUITE_DISPATCH": how,
        "SUITE_COUNTS": str(counts),
        "ENVIRONMENT": "development",
    }
    # The suite's limit of 20 s per test is too short for a busy machine.
    plugins = ["-p", "dispatch_plugin", "-p", "no:cacheprovider", "--timeout=180"]
    command: list[str | Path] = [
        python,
        "-m",
        "pytest",
        "-q",
        *plugins,
        f"--junitxml={result}",
        *what,
    ]
    with log.open("w") as output:
        # Continue after a failure: a test that fails in both runs is not our error.
        subprocess.run(
            command, cwd=checkout, check=False, stdout=output, stderr=output, env=environment
        )
    print(f"  {name}: {log.read_text().splitlines()[-1]}", flush=True)
    return read(result)


if __name__ == "__main__":
    default = Path(os.environ.get("DATA_DIR", ".data")) / "fastapi-suite"
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else default).resolve()))
