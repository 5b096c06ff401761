"""Files for hosting services and editors conform to their published schemas."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.environment import LIBRARY, ROOT

STARTED = LIBRARY / "cli" / "start" / "project"
GITHUB = ROOT / ".github"
FILES = {
    "github-workflows": [GITHUB / "workflows" / "ci.yml", STARTED / ".github/workflows/check.yml"],
    "dependabot": [GITHUB / "dependabot.yml"],
    "github-issue-forms": [
        GITHUB / "ISSUE_TEMPLATE" / "bug.yml",
        GITHUB / "ISSUE_TEMPLATE" / "feature.yml",
    ],
    "github-issue-config": [GITHUB / "ISSUE_TEMPLATE" / "config.yml"],
    "compose-spec": [ROOT / "compose.yaml"],
}
TOOLS = Path(sys.executable).parent


@pytest.mark.parametrize("schema", FILES)
def test_file_matches_its_schema(schema: str) -> None:
    checker: list[Path | str] = [TOOLS / "check-jsonschema", "--builtin-schema", f"vendor.{schema}"]
    command = [*checker, *FILES[schema]]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_hooks_are_valid_and_their_commands_exist() -> None:
    config = ROOT / ".pre-commit-config.yaml"
    command: list[Path | str] = [TOOLS / "pre-commit", "validate-config", config]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(("length", "accepted"), [(72, True), (73, False)])
def test_a_long_subject_is_refused(tmp_path: Path, length: int, accepted: bool) -> None:
    message = tmp_path / "message"
    message.write_text(
        "s" * length + "\n\nA body of a line that is longer than the subject may be.\n"
    )
    command = [ROOT / "scripts" / "check_subject.sh", message]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (checked.returncode == 0) is accepted
    assert ("the limit is 72" in checked.stderr) is not accepted


def test_devcontainer_runs_make_install() -> None:
    config = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert config["postCreateCommand"] == "make install"
    assert config["forwardPorts"] == [8000]


def test_code_owners_name_folders_that_exist() -> None:
    lines = (GITHUB / "CODEOWNERS").read_text().splitlines()
    paths = [line.split()[0] for line in lines if line.startswith("/")]
    assert paths
    assert [path for path in paths if not (ROOT / path.strip("/")).is_dir()] == []
