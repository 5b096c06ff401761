"""`compose.yaml` has the services of the contract. The tests do not need Docker."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.compose import load_compose
from tests.support.environment import ROOT

SERVICES = {
    # service: (image, port on this machine, port inside, path of its named volume)
    "postgres": ("postgres", 5432, 5432, "/var/lib/postgresql"),
    "postgres-test": ("postgres", 5433, 5432, "/var/lib/postgresql"),
    "redis": ("redis", 6379, 6379, "/data"),
    "pgadmin": ("dpage/pgadmin4", 5050, 80, "/var/lib/pgadmin"),
    "api": ("plinth", 8000, 8000, "/data"),
}


def load(**environment: str) -> dict[str, Any]:
    return load_compose(ROOT, **environment)


def test_compose_has_the_services_of_the_contract() -> None:
    compose = load()

    assert set(compose["services"]) == set(SERVICES)
    assert "version" not in compose, "Compose ignores `version:` and warns about it"


@pytest.mark.parametrize("name", SERVICES)
def test_service_matches_its_image_ports_and_volume(name: str) -> None:
    compose = load()
    service = compose["services"][name]
    image, outside, inside, data = SERVICES[name]

    assert service["image"].partition(":")[0] == image
    assert service["ports"] == [f"127.0.0.1:{outside}:{inside}"], "bound to this machine only"
    assert service["restart"] == "unless-stopped"
    assert service["networks"] == list(compose["networks"]), "one network, and everyone on it"
    assert len(service["networks"]) == 1
    assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert service["logging"]["options"]["max-size"], "a log without a limit fills the disk"
    volumes = [entry.partition(":")[::2] for entry in service["volumes"]]
    assert [volume for volume, path in volumes if path == data and volume in compose["volumes"]]


def test_each_volume_belongs_to_one_service() -> None:
    compose = load()
    used = [
        entry.partition(":")[0]
        for service in compose["services"].values()
        for entry in service["volumes"]
        if not entry.startswith("./")
    ]

    assert sorted(used) == sorted(compose["volumes"])


@pytest.mark.parametrize("name", ["postgres", "postgres-test", "redis", "pgadmin"])
def test_image_tag_has_an_allowed_major_version(name: str) -> None:
    oldest = {"postgres": 15, "postgres-test": 15, "redis": 7, "pgadmin": 0}
    tag = load()["services"][name]["image"].partition(":")[2]

    assert int(re.split(r"[.-]", tag)[0]) >= oldest[name], "a tag with a major version, not latest"


@pytest.mark.parametrize("name", ["postgres", "postgres-test"])
def test_postgresql_uses_the_builtin_locale(name: str) -> None:
    arguments = load()["services"][name]["environment"]["POSTGRES_INITDB_ARGS"]

    assert arguments.split() == ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]


@pytest.mark.parametrize("name", ["postgres", "postgres-test"])
def test_postgresql_health_check_uses_tcp(name: str) -> None:
    kind, command = load()["services"][name]["healthcheck"]["test"]

    assert kind == "CMD-SHELL"
    assert "pg_isready" in command
    assert "--host=127.0.0.1" in command, "the temporary server of a new volume has only a socket"


@pytest.mark.parametrize("name", ["postgres", "postgres-test"])
def test_postgresql_runs_the_init_scripts(name: str) -> None:
    volumes = load()["services"][name]["volumes"]

    assert "./deploy/initdb.d:/docker-entrypoint-initdb.d:ro" in volumes
    assert "./packages/plinth/src/plinth/cli/db/roles.sql:/plinth-roles.sql:ro" in volumes


def test_init_scripts_have_valid_syntax() -> None:
    scripts = sorted((ROOT / "deploy" / "initdb.d").iterdir())

    assert scripts
    for script in scripts:
        # The image runs *.sh and *.sql (also compressed), and ignores other files.
        assert script.suffix in {".sh", ".sql"}, f"{script.name} would be ignored"
        if script.suffix == ".sh":
            subprocess.run(["sh", "-n", script], check=True)


@pytest.fixture
def stand_ins(tmp_path: Path) -> Path:
    """A folder for PATH: programs of the images that print their arguments."""
    programs = {
        "docker-entrypoint.sh": 'echo "entrypoint"; exec "$@"',
        "redis-server": 'printf "<%s>\\n" redis-server "$@"',
        # 8.x prints this for a password if the server has none
        "redis-cli": (
            'for word in "$@"; do case "$word" in -a|--pass|secret*) exit 9;; esac; done\n'
            '[ "${REDISCLI_AUTH-unset}" = "${EXPECTED-unset}" ] && echo PONG || echo "NOAUTH"'
        ),
    }
    for name, body in programs.items():
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
    return tmp_path


def run(command: list[str], path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env={"PATH": f"{path}:/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        timeout=5,
        check=False,
    )


PASSWORDS = ["", "secret", "se cret'\"$HOME`id`*\\", "-secret"]


@pytest.mark.parametrize("password", PASSWORDS)
def test_redis_starts_with_and_without_a_password(password: str, stand_ins: Path) -> None:
    redis = load(REDIS_PASSWORD=password)["services"]["redis"]
    assert redis["environment"] == {"REDIS_PASSWORD": password}

    done = run(redis["command"], stand_ins, **redis["environment"])

    entrypoint, *words = done.stdout.splitlines()
    assert entrypoint == "entrypoint", "without the image's entrypoint the server runs as root"
    assert words[:3] == ["<redis-server>", "<--appendonly>", "<yes>"]
    assert words[5:] == (["<--requirepass>", f"<{password}>"] if password else [])
    assert not done.stderr


def test_redis_command_uses_exec() -> None:
    script = load()["services"]["redis"]["command"][-1]

    assert script.strip().splitlines()[-1].startswith("exec "), "the server must get the signals"


@pytest.mark.parametrize("password", PASSWORDS)
def test_redis_health_check_hides_the_password(password: str, stand_ins: Path) -> None:
    redis = load(REDIS_PASSWORD=password)["services"]["redis"]
    kind, script = redis["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    expected = {"EXPECTED": password} if password else {}

    healthy = run(["sh", "-c", script], stand_ins, **redis["environment"], **expected)
    refused = run(["sh", "-c", script], stand_ins, **redis["environment"], EXPECTED="other")

    assert healthy.returncode == 0
    assert refused.returncode == 1


def test_api_waits_for_healthy_services() -> None:
    api = load()["services"]["api"]

    assert {name: wait["condition"] for name, wait in api["depends_on"].items()} == {
        "postgres": "service_healthy",
        "redis": "service_healthy",
    }
    assert api["build"] == "."


def test_api_reads_env_and_gets_the_service_addresses() -> None:
    api = load(
        POSTGRES_HOST="localhost",
        POSTGRES_PORT="6000",
        DATABASE_URL="postgresql://localhost/other",
        REDIS_URL="redis://localhost",
        REDIS_PASSWORD="p@ss",
        SECRET_KEY="key",
    )["services"]["api"]

    assert api["env_file"] == [{"path": ".env", "required": False}]
    assert api["environment"] == {
        "ENVIRONMENT": "development",
        "SECRET_KEY": "key",
        "DATA_DIR": "/data",
        "DATABASE_URL": "",
        "MIGRATION_DATABASE_URL": "",
        "POSTGRES_HOST": "postgres",
        "POSTGRES_PORT": "5432",
        "POSTGRES_USER": "plinth_app",
        "POSTGRES_PASSWORD": "development-only",
        "POSTGRES_MIGRATION_USER": "plinth_owner",
        "POSTGRES_MIGRATION_PASSWORD": "development-only",
        "POSTGRES_DB": "plinth",
        "REDIS_URL": "",
        "REDIS_HOST": "redis",
        "REDIS_PORT": "6379",
        "REDIS_PASSWORD": "p@ss",
    }


def test_api_gets_the_passwords_of_its_roles_and_not_the_superusers() -> None:
    given = {
        "POSTGRES_USER": "u",
        "POSTGRES_PASSWORD": "superuser's",
        "POSTGRES_DB": "d",
        "POSTGRES_APP_PASSWORD": "application's",
        "POSTGRES_OWNER_PASSWORD": "owner's",
    }
    services = load(**given)["services"]
    api, postgres = services["api"]["environment"], services["postgres"]["environment"]

    assert api["POSTGRES_DB"] == postgres["POSTGRES_DB"] == "d"
    assert api["POSTGRES_PASSWORD"] == postgres["PLINTH_APPLICATION_PASSWORD"] == "application's"
    assert api["POSTGRES_MIGRATION_PASSWORD"] == postgres["PLINTH_OWNER_PASSWORD"] == "owner's"
    assert "superuser's" not in api.values()


def test_services_can_start_separately() -> None:
    """Compose interpolates the whole file: a `:?` of the API would stop `up -d postgres redis`."""
    compose = (ROOT / "compose.yaml").read_text()
    lines = [line for line in compose.splitlines() if not line.lstrip().startswith("#")]

    assert not [line for line in lines if re.search(r"\$\{\w+:?\?", line)]


def test_api_container_has_minimal_privileges() -> None:
    api = load()["services"]["api"]

    assert api["read_only"] is True
    assert api["tmpfs"] == ["/tmp"]
    assert api["cap_drop"] == ["ALL"]
    assert api["security_opt"] == ["no-new-privileges:true"]
