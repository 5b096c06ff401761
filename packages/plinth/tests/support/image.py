"""Read an image and its compose.yaml as a container runtime does, for deploy/prove-image.sh."""

import json
import re
import secrets
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.compose import load_compose

SECRET_NAME = re.compile(r"SECRET|PASSWORD|TOKEN|KEY|_URL")
PASSWORDS = ("POSTGRES_PASSWORD", "POSTGRES_OWNER_PASSWORD", "POSTGRES_APP_PASSWORD")


def main(project: Path, run: Path) -> None:
    """Check the image and compose.yaml, and write the files that start the containers to `run`."""
    names = ("SECRET_KEY", *PASSWORDS, "REDIS_PASSWORD")
    env_file = {name: secrets.token_urlsafe(36) for name in names} | {"ENVIRONMENT": "production"}
    services = load_compose(project, **env_file)["services"]
    config = json.loads((run / "image.json").read_text())["Docker"]["config"]
    check_image(config, services["api"])
    check_api(services["api"])
    write_api(run, config, services["api"], env_file)
    write_servers(run, project, services["postgres"], services["redis"])


def check_image(config: dict[str, Any], api: dict[str, Any]) -> None:
    assert config["User"] == "1000:1000", config["User"]
    assert config["StopSignal"] == "SIGTERM", config["StopSignal"]
    assert list(config["ExposedPorts"]) == ["8000/tcp"], config["ExposedPorts"]
    assert config["Healthcheck"]["Test"] == api["healthcheck"]["test"], config["Healthcheck"]
    names = [entry.partition("=")[0] for entry in config["Env"]]
    found = [name for name in names if SECRET_NAME.search(name)]
    assert not found, f"the image's environment holds {found}: remove them from the Dockerfile"


def check_api(api: dict[str, Any]) -> None:
    """Refuse options that `container` in deploy/prove-image.sh does not support."""
    assert not {"command", "entrypoint", "user", "privileged", "cap_add"} & set(api), api
    assert (api["read_only"], api["tmpfs"], api["cap_drop"]) == (True, ["/tmp"], ["ALL"]), api
    assert api["security_opt"] == ["no-new-privileges:true"], api
    assert [volume.partition(":")[2] for volume in api["volumes"]] == ["/data"], api
    assert api["env_file"] == [{"path": ".env", "required": False}], api
    waits = {name: wait["condition"] for name, wait in api["depends_on"].items()}
    assert waits == {"postgres": "service_healthy", "redis": "service_healthy"}, waits


def write_api(
    run: Path, config: dict[str, Any], api: dict[str, Any], env_file: dict[str, str]
) -> None:
    folder = shlex.quote(config["WorkingDir"])
    start = f"cd {folder} && exec env -i {shlex.join(config['Env'])} "
    (run / "start").write_text(start + '"$@" ' + shlex.join(config["Entrypoint"]))
    (run / "command").write_text(shlex.join(config["Cmd"]))
    (run / "healthcheck").write_text(start + shlex.join(config["Healthcheck"]["Test"][1:]))
    environment = env_file | api["environment"]
    (run / "settings").write_text(shlex.join(f"{it}={environment[it]}" for it in environment))
    (run / "grace").write_text(api["stop_grace_period"].removesuffix("s"))


def write_servers(
    run: Path, project: Path, postgres: dict[str, Any], redis: dict[str, Any]
) -> None:
    """Write the settings of the servers, with the source of each mount instead of its target.

    The servers run on this machine, outside of their images.
    """
    volumes = [volume.split(":") for volume in postgres["volumes"] if volume.startswith("./")]
    sources = {target: str(project / source) for source, target, _ in volumes}
    check = postgres["healthcheck"]["test"][1]
    for target, source in sources.items():
        check = check.replace(target, source)
    (run / "postgres.check").write_text(check)
    (run / "redis.check").write_text(redis["healthcheck"]["test"][1])
    (run / "redis.start").write_text(redis["command"][-1])
    environment: Mapping[str, str] = postgres["environment"] | redis["environment"]
    exported = dict(environment) | {
        "PGPASSWORD": environment["POSTGRES_PASSWORD"],
        "PLINTH_ROLES_SQL": sources["/plinth-roles.sql"],
        "INIT_SCRIPTS": sources["/docker-entrypoint-initdb.d"],
    }
    lines = [f"export {name}={shlex.quote(exported[name])}\n" for name in exported]
    (run / "servers.sh").write_text("".join(lines))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
