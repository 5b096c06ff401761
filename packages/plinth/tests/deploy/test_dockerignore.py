"""`docker build` receives the listed files and no secrets."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]

SECRETS = [
    ".env",
    ".env.prod",
    ".env.example",
    ".git/config",
    ".data/secret_key",
    ".data/postgres/base/1/1259",
    ".venv/bin/python",
    ".netrc",
    "keys/jwt.pem",
    "id_ed25519",
    "backup.dump",
    "compose.yaml",
    "docs/how-to/deploy.md",
    "tests/conftest.py",
    "deploy/initdb.d/10-extensions.sql",
    "deploy/prove-image.sh",
    "app/.env",
    "app/core/.env.local",
    "app/core/server.key",
    "README.md",
    "packages/plinth/tests/conftest.py",
    "packages/plinth/src/plinth/config/.env",
    "alembic/ca.pem",
    "app/debug.log",
    "app/__pycache__/main.cpython-313.pyc",
]

NEEDED = [
    "requirements.txt",
    "pyproject.toml",
    "packages/plinth/pyproject.toml",
    "packages/plinth/hatch_build.py",
    "packages/plinth/README.md",
    "packages/plinth/LICENSE",
    "alembic.ini",
    "alembic/env.py",
    "alembic/script.py.mako",
    "alembic/versions/2026-01-01_0000_users.py",
    "app/__init__.py",
    "app/main.py",
    "packages/plinth/src/plinth/config/settings.py",
    "packages/plinth/src/plinth/security/data/common_passwords.txt.gz",
    "deploy/build-requirements.txt",
    "deploy/entrypoint.sh",
    "deploy/healthcheck.py",
]


def rules() -> list[tuple[bool, str]]:
    """Return pairs (is excluded, pattern) in order."""
    lines = (line.strip() for line in (ROOT / ".dockerignore").read_text().splitlines())
    kept = [line for line in lines if line and not line.startswith("#")]
    return [(not line.startswith("!"), line.removeprefix("!").strip("/")) for line in kept]


def to_regex(pattern: str) -> re.Pattern[str]:
    """Docker's patterns: `**` matches folders, `*` and `?` within a name, `[...]` a class."""
    text = ""
    for part in re.findall(r"\*\*/?|\*|\?|\[[^]]*\]|.", pattern):
        if part == "**/":
            text += "(?:.*/)?"
        elif part == "**":
            text += ".*"
        elif part in "*?":
            text += "[^/]*" if part == "*" else "[^/]"
        else:
            text += part if part.startswith("[") else re.escape(part)
    return re.compile(text)


def is_sent(path: str) -> bool:
    """Return whether Docker sends a path. The last pattern that matches it or a parent decides."""
    parts = path.split("/")
    above = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    sent = True
    for left_out, pattern in rules():
        if any(to_regex(pattern).fullmatch(name) for name in above):
            sent = not left_out
    return sent


def test_first_rule_excludes_everything() -> None:
    assert rules()[0] == (True, "*")


def test_included_paths_match_the_list() -> None:
    """A new `!` line sends more files to the build, so this list must change as well."""
    assert [pattern for left_out, pattern in rules() if not left_out] == [
        "requirements.txt",
        "pyproject.toml",
        "alembic.ini",
        "alembic",
        "app",
        "packages/plinth/pyproject.toml",
        "packages/plinth/hatch_build.py",
        "packages/plinth/README.md",
        "packages/plinth/LICENSE",
        "packages/plinth/src",
        "deploy/build-requirements.txt",
        "deploy/entrypoint.sh",
        "deploy/healthcheck.py",
    ]


@pytest.mark.parametrize("path", SECRETS)
def test_secret_is_not_sent(path: str) -> None:
    assert not is_sent(path)


@pytest.mark.parametrize("path", NEEDED)
def test_needed_file_is_sent(path: str) -> None:
    assert is_sent(path)


def test_files_copied_by_the_dockerfile_are_sent() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copies = [line.split()[1:-1] for line in lines if line.startswith("COPY ")]
    sources = [word for words in copies if not words[0].startswith("--from") for word in words]

    assert sources
    folders = {"packages/plinth"}  # copied for what is sent of it
    assert [source for source in sources if source not in folders and not is_sent(source)] == []


def test_tracked_code_is_sent() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "app", "alembic", "packages/plinth/src"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert [path for path in listed.split("\0") if path and not is_sent(path)] == []
