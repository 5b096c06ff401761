"""The client of `make client`: its types, and a scenario against a running server."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from plinth.testing.people import PASSWORD
from tests.clients.conftest import check_npm
from tests.support.command import find_free_port, plinth, running, start_plinth
from tests.support.environment import ROOT

SUPERUSER = "root@example.com"


@pytest.fixture
def origin(environment: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """A running server with a superuser."""
    settings = environment | {"MAIL_WORKER": "false", "DATA_DIR": str(tmp_path)}
    settings["AUTH_COOKIES"] = "true"
    options = ["--email", SUPERUSER, "--username", "root", "--full-name", "", "--password-env", "P"]
    made = plinth("create-superuser", *options, P=PASSWORD, **settings)
    assert made.returncode == 0, made.stderr
    port, log = find_free_port(), tmp_path / "serve.log"
    process = start_plinth("serve", "--port", str(port), log=log, **settings)
    with running(process, port, log):
        yield f"http://127.0.0.1:{port}"


def test_the_document_passes_the_linter(client: Path) -> None:
    check_npm(client, "run", "lint")


def test_package_contains_code_and_types(client: Path) -> None:
    check_npm(client, "run", "build")
    packed = check_npm(client, "pack", "--dry-run", "--json")
    for name in ("client", "schema", "session"):
        assert f"dist/{name}.js" in packed
        assert f"dist/{name}.d.ts" in packed


def test_example_application_completes_its_scenario(client: Path, origin: str) -> None:
    check_npm(
        client, "run", "build-tests"
    )  # including tests/types.ts, whose lines the compiler must refuse
    said = check_npm(client, "run", "journey", API=origin, SUPERUSER=SUPERUSER)
    assert "all pages to the end" in said


def test_client_compiles_with_the_document_of_cookie_sessions(client: Path, tmp_path: Path) -> None:
    folder = tmp_path / "typescript"
    shutil.copytree(client, folder, ignore=shutil.ignore_patterns("node_modules"))
    (folder / "node_modules").symlink_to(client / "node_modules")
    document = plinth("openapi", "--output", str(folder / "openapi.json"), AUTH_COOKIES="true")
    assert document.returncode == 0, document.stderr
    check_npm(folder, "run", "generate")
    assert "/auth/cookies/csrf" in (folder / "src" / "schema.ts").read_text()
    check_npm(folder, "run", "build-tests")


def test_no_registry_address_is_stored() -> None:
    folder = ROOT / "clients" / "typescript"
    assert "package-lock=false" in (folder / ".npmrc").read_text()
    assert "://" not in (folder / "package.json").read_text()
