"""`plinth eject` copies a router of the library to the application, without other changes."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from plinth import project
from plinth.cli.doctor import Level, ejected
from plinth.cli.eject import DIGITS, ROUTERS
from plinth.config import settings
from tests.support.environment import ROOT, bare_environment, python_path

INIT = Path("app/api/v1/__init__.py")


class Application:
    """A copy of this checkout in a separate folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "app", folder / "app", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        for name in ("alembic/versions", "tests/api"):
            (folder / name).mkdir(parents=True)

    def plinth(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "plinth.cli", *arguments],
            cwd=self.folder,
            env=bare_environment() | {"PYTHONPATH": python_path(self.folder)},
            capture_output=True,
            text=True,
            check=False,
        )

    def texts(self) -> dict[str, str]:
        files = sorted((self.folder / "app").rglob("*.py"))
        return {str(it.relative_to(self.folder)): it.read_text() for it in files}


@pytest.fixture
def application(tmp_path: Path) -> Application:
    (tmp_path / "packages/plinth").mkdir(parents=True)
    (tmp_path / "packages/plinth/src").symlink_to(ROOT / "packages/plinth/src")
    return Application(tmp_path)


def test_each_router_can_be_ejected_without_changing_the_api(application: Application) -> None:
    document = application.plinth("openapi").stdout
    assert '"/api/v1/users/me"' in document

    for name in ROUTERS:
        done = application.plinth("eject", name)
        assert done.returncode == 0, done.stderr

    assert application.plinth("openapi").stdout == document
    assert "plinth.accounts.routes" not in application.texts()[str(INIT)]
    for name in ROUTERS:
        assert "APIRouter(" in application.texts()[f"app/api/v1/{name}.py"]
    command = [sys.executable, "-m", "ruff", "check", str(application.folder / "app")]
    assert subprocess.run(command, check=False).returncode == 0


def test_code_of_the_team_is_not_overwritten(application: Application) -> None:
    assert application.plinth("eject", "health").returncode == 0
    before = application.texts()

    for name, sentence in (("health", "has other code"), ("notes", "no router notes")):
        refused = application.plinth("eject", name)
        assert refused.returncode == 1
        assert sentence in refused.stderr
    assert application.texts() == before


def test_a_router_that_is_not_included_is_not_copied(application: Application) -> None:
    init = application.folder / INIT
    init.write_text(init.read_text().replace("user_sessions", "of_users"))
    refused = application.plinth("eject", "user_sessions")
    assert refused.returncode == 1
    assert "does not import user_sessions" in refused.stderr
    assert "app/api/v1/user_sessions.py" not in application.texts()


def test_a_dry_run_changes_nothing(application: Application) -> None:
    before = application.texts()
    shown = application.plinth("eject", "user_sessions", "--dry-run")
    assert "+++ b/app/api/v1/user_sessions.py" in shown.stdout
    assert application.texts() == before


def test_doctor_notices_that_the_library_has_changed(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project, "find_root", lambda: application.folder)
    assert ejected.check(settings).text == "none"
    application.plinth("eject", "health")
    found = ejected.check(settings)
    assert (found.level, found.text) == (Level.FINE, "health.py")

    copy = application.folder / "app/api/v1/health.py"
    origin, _, code = copy.read_text().partition("\n")
    older = origin.rpartition(" ")[0] + f" ({'0' * DIGITS})"
    copy.write_text(f"{older}\n# of the team\n{code}")

    found = ejected.check(settings)
    assert found.level is Level.DOUBTFUL
    assert "app/api/v1/health.py" in found.text
    assert found.advice.endswith(origin)
