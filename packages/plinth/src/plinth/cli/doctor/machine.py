"""Check this machine: Python, DATA_DIR, and the time of a password hash."""

import platform
import stat
import tempfile
import time

from plinth.cli.doctor import Finding, broken, doubtful, fine
from plinth.config import Settings
from plinth.folders import make_private_folder
from plinth.request import cookies
from plinth.security.passwords import hash_password

# OWASP's Password Storage Cheat Sheet: the minimum memory (KiB) by the number of passes.
OWASP = {1: 47104, 2: 19456, 3: 12288, 4: 9216, 5: 7168}


def check_data_dir(settings: Settings) -> Finding:
    name, folder = "DATA_DIR", settings.DATA_DIR.resolve()
    if settings.DATABASE_URL and settings.REDIS_URL and not settings.is_development:
        return fine(name, "not used, because PostgreSQL and Redis are configured")
    try:
        make_private_folder(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return broken(
            name,
            f"{folder} is not writable ({error.strerror})",
            "Set DATA_DIR to a folder that the server's user owns, or change this one's owner.",
        )
    if stat.S_IMODE(folder.stat().st_mode) & 0o066:
        return doubtful(name, f"other users can read {folder}", f"Run `chmod go-rw {folder}`.")
    return fine(name, str(folder))


def check_key_file(settings: Settings) -> Finding:
    name, path = "development key", settings.DATA_DIR / "secret_key"
    if not path.exists():
        return fine(name, "not used, because SECRET_KEY is set")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        return doubtful(name, f"other users can read {path}", f"Run `chmod 600 {path}`.")
    return fine(name, f"{path}, readable by its owner only")


async def check_password_hashing(settings: Settings) -> Finding:
    name, memory, passes = "passwords", settings.ARGON2_MEMORY_KIB, settings.ARGON2_TIME_COST
    started = time.perf_counter()
    await hash_password("Some-Password-1")
    milliseconds = (time.perf_counter() - started) * 1000
    text = f"{milliseconds:.0f} ms per hash (argon2id, {memory} KiB x {passes})"
    if memory < OWASP[min(passes, max(OWASP))]:
        return doubtful(
            name,
            f"{text}, which is below OWASP's minimum",
            "Unset ARGON2_MEMORY_KIB and ARGON2_TIME_COST to use the defaults.",
        )
    return fine(name, text)


def check_python(_: Settings) -> Finding:
    name, text = "Python", platform.python_version()
    if cookies.HAS_QUADRATIC_PARSER:
        return doubtful(
            name,
            f"{text} has a slow cookie parser (CVE-2024-7592), which Plinth replaces in its own "
            "processes only",
            "Upgrade to Python 3.11.10, 3.12.6, 3.13 or newer, or a patched one of your "
            "distribution.",
        )
    return fine(name, text)


CHECKS = [check_python, check_data_dir, check_key_file]
