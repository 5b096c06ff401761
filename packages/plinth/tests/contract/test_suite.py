"""The contract suite on a team's application: failures, and skips with a reason."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from plinth.testing.databases import TestServices
from tests.support.environment import ROOT, bare_environment

# As in a team's repository, without the fixtures of this one.
CONFTEST = """
import pytest

pytest_plugins = ["plinth.testing.plugin"]

@pytest.fixture
async def scene(scene):
    scene.known["position"] = 3
    return scene
"""
MODULE = """
from plinth.testing.contract import *

SKIPPED = {
    "test_route_declares_access[GET /api/v1/wrong/undeclared]": "it is new",
    "test_relationships_load_explicitly": "they are old",
    "test_route_declares_access[GET /api/v1/gone]": "no such route",
    "test_relationships_load": "no such rule",
}
"""
TEAM = {
    "__init__.py": "",
    "main.py": "from tests.contract.team import app\n",
    "models/__init__.py": "",
    "models/user.py": "from app.models.user import User\n",
}
OURS = "articles or tags or uploads or hidden or wrong or each_skip or relationships"
API = "/api/v1"

Results = dict[str, tuple[str, str]]


@pytest.fixture(scope="module")
def results(services: TestServices, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Return outcome and message of each test."""
    folder = tmp_path_factory.mktemp("contract")
    module, report = folder / "test_contract.py", folder / "report.xml"
    module.write_text(MODULE)
    (folder / "conftest.py").write_text(CONFTEST)
    for name, text in TEAM.items():
        (folder / "team" / name).parent.mkdir(exist_ok=True)
        (folder / "team" / name).write_text(text)
    inherited = bare_environment()
    environment = inherited | {
        "PLINTH_APP": "team.main:app",
        "PYTHONPATH": f"{inherited['PYTHONPATH']}{os.pathsep}{folder}",
        "TEST_DATABASE_URL": services.server_url,
        "TEST_REDIS_URL": services.redis_url,
        "DATA_DIR": str(folder),
    }
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-n", "0", "-k", OURS),
            *(f"--config-file={ROOT / 'pyproject.toml'}", f"--rootdir={folder}"),
            *("-p", "no:cacheprovider", f"--junitxml={report}", str(module)),
        ],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout[-5000:] + done.stderr
    return dict(read_report(report))


def read_report(report: Path) -> Iterator[tuple[str, tuple[str, str]]]:
    for case in ElementTree.parse(report).iter("testcase"):
        found = next((it for it in case if it.tag in {"failure", "error", "skipped"}), None)
        outcome = "passed" if found is None else found.tag
        yield case.attrib["name"], (outcome, "" if found is None else found.attrib["message"])


SKIPS = {
    f"test_access_matches_declaration[GET {API}/articles/{{article_slug}}]": (
        f"the response of POST {API}/articles has no top-level 'article_slug'"
    ),
    f"test_access_matches_declaration[DELETE {API}/tags/{{slug}}/notes/{{id}}]": (
        f"/comments and POST {API}/tags/{{slug}}/notes may create the row of {{id}}"
    ),
    f"test_no_mass_assignment[POST {API}/articles]": "no object with an `id`",
    f"test_list_query_count_is_constant[GET {API}/articles]": (
        "no route creates the rows of its list"
    ),
    f"test_bad_input_is_refused_as_documented[POST {API}/uploads as user]": "was not tested",
    f"test_base_request_is_valid[POST {API}/uploads]": (
        "no body of ['multipart/form-data'] can be generated"
    ),
    f"test_bad_input_is_refused_as_documented[GET {API}/hidden as anonymous]": "document lacks it",
    f"test_route_is_private_unless_listed_as_public[GET {API}/hidden]": (
        "team.api.v1 has no list PUBLIC"
    ),
    f"test_route_declares_access[GET {API}/wrong/undeclared]": "it is new",
    "test_relationships_load_explicitly": "they are old",
}
FAILURES = {
    f"test_declared_query_count_is_low[GET {API}/wrong/undeclared]": "assert None",
    f"test_access_matches_declaration[GET {API}/wrong/open]": "'anonymous': 'allowed (200)",
    f"test_access_matches_declaration[GET {API}/wrong/superusers]": "'other': 'allowed (200)",
    f"test_query_count_within_declaration[GET {API}/wrong/costly]": "sent 3 statements",
    f"test_freshness_matches_declaration[GET {API}/wrong/stale]": "`FreshUser`",
    f"test_commit_precedes_response[GET {API}/wrong/late]": "`db: DB`",
    f"test_no_mass_assignment[POST {API}/wrong/settable]": "sets is_superuser",
    f"test_bad_input_is_refused_as_documented[GET {API}/wrong/fragile as user]": "server error",
    f"test_database_outage_is_503[GET {API}/wrong/telling]": "reveals an internal",
    "test_each_skip_names_a_rule_and_a_reason": "obsolete entries",
}
PASSES = [
    f"test_access_matches_declaration[GET {API}/articles/by-position/{{position}}]",
    f"test_access_matches_declaration[GET {API}/tags/{{slug}}]",
    f"test_query_count_within_declaration[POST {API}/tags/{{slug}}/notes]",
    f"test_bad_input_is_refused_as_documented[POST {API}/articles as user]",
]


@pytest.mark.parametrize("name", SKIPS)
def test_rule_that_does_not_apply_is_skipped_with_a_reason(results: Results, name: str) -> None:
    outcome, message = results[name]
    assert (outcome, SKIPS[name] in message) == ("skipped", True), message


@pytest.mark.parametrize("name", FAILURES)
def test_broken_rule_is_reported(results: Results, name: str) -> None:
    outcome, message = results[name]
    assert (outcome, FAILURES[name] in message) == ("failure", True), message


@pytest.mark.parametrize("name", PASSES)
def test_slugs_envelopes_and_custom_names_are_checked(results: Results, name: str) -> None:
    assert results[name] == ("passed", "")


def test_nothing_else_fails(results: Results) -> None:
    """A route that breaks one rule is refused by that rule, and the others pass or are skipped."""
    failed = {name for name, (outcome, _) in results.items() if outcome in {"failure", "error"}}
    assert {name for name in failed if "/wrong/" not in name} <= {*FAILURES}
