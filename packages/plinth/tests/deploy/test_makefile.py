"""Commands of `make` and CI fail when one of their parts fails."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.environment import PACKAGE, ROOT, bare_environment

MAKEFILES = [ROOT / "Makefile", PACKAGE / "Makefile"]
# With a pipe, the shell returns only the status of the last program.
PIPE = re.compile(r"^\t(?!.*(?:&&|help)).*[^|]\|[^|].*$", re.MULTILINE)


@pytest.mark.skipif(not shutil.which("make"), reason="there is no make")
def test_make_migrations_fails_when_alembic_does() -> None:
    done = subprocess.run(
        ["make", "migrations"],
        cwd=ROOT,
        env=bare_environment() | {"ENVIRONMENT": "production"},  # which has no SECRET_KEY
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0, "alembic ended with an error, and squawk read nothing"
    assert "SECRET_KEY" in done.stderr


def test_no_recipe_ignores_a_failure_in_a_pipe() -> None:
    texts = [file.read_text() for file in MAKEFILES]
    lines = [line for text in texts for line in PIPE.findall(text) if "grep -hE" not in line]
    assert lines == [], "sh has no pipefail: keep the output in a variable, && then pipe it"


@pytest.mark.parametrize("script", sorted((ROOT / ".ci").iterdir()), ids=lambda it: it.name)
def test_each_ci_script_sets_pipefail(script: Path) -> None:
    assert re.search(r"^set -e?uo pipefail$", script.read_text(), re.MULTILINE)
