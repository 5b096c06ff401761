"""This machine: its disk, and how long a password takes."""

import platform
import stat
import tempfile
import time

from plinth.cli.doctor.finding import Finding, broken, doubtful, fine
from plinth.config import Settings
from plinth.folders import make_private_folder
from plinth.request import cookies
from plinth.security.passwords import hash_password

# OWASP's Password Storage Cheat Sheet: passes, and the least memory (KiB) that goes with them.
OWASP = {1: 47104, 2: 19456, 3: 12288, 4: 9216, 5: 7168}


def check_data_dir(settings: Settings) -> Finding:
    name, folder = "DATA_DIR", settings.DATA_DIR.resolve()
    if settings.DATABASE_URL and settings.REDIS_URL and not settings.is_development:
        return fine(name, "not needed: both servers are named")
    try:
        make_private_folder(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return broken(
            name,
            f"{folder} cannot be written to ({error.strerror})",
            "Set DATA_DIR to a folder of yours, or give this one to the user who runs this.",
        )
    if stat.S_IMODE(folder.stat().st_mode) & 0o066:
        return doubtful(name, f"other users can read {folder}", f"chmod go-rw {folder}")
    return fine(name, str(folder))


def check_key_file(settings: Settings) -> Finding:
    name, path = "development's key", settings.DATA_DIR / "secret_key"
    if not path.exists():
        return fine(name, "none kept: SECRET_KEY is set")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        return doubtful(name, f"others can read {path}", f"chmod 600 {path}")
    return fine(name, f"{path}, which nobody else can read")


async def check_password_hashing(settings: Settings) -> Finding:
    name, memory, passes = "passwords", settings.ARGON2_MEMORY_KIB, settings.ARGON2_TIME_COST
    begun = time.perf_counter()
    await hash_password("Some-Password-1")
    text = (
        f"{(time.perf_counter() - begun) * 1000:.0f} ms a hash (argon2id, {memory} KiB x {passes})"
    )
    if memory < OWASP[min(passes, max(OWASP))]:
        return doubtful(
            name,
            f"{text}, less than OWASP's least",
            "Unset ARGON2_MEMORY_KIB and ARGON2_TIME_COST: their defaults are enough.",
        )
    return fine(name, text)


def check_python(_: Settings) -> Finding:
    name, text = "Python", platform.python_version()
    if cookies.HAS_QUADRATIC_PARSER:
        return doubtful(
            name,
            f"{text}, whose cookie parser is slow (CVE-2024-7592); Plinth replaces it in its own "
            "processes only",
            "Use Python 3.11.10, 3.12.6, 3.13 or newer, or your distribution's patched one.",
        )
    return fine(name, text)


CHECKS = [check_python, check_data_dir, check_key_file]
