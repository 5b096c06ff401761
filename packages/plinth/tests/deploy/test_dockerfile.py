"""Checks of the Dockerfile without a build; deploy/prove-image.sh builds the image."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[4]
ENTRYPOINT = ROOT / "deploy" / "entrypoint.sh"
HEALTHCHECK = ROOT / "deploy" / "healthcheck.py"
PATIENCE = 60  # seconds
HEALTH = "/api/v1/health/live"  # needs no other service


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile, each with its arguments on one line."""
    lines = [
        line
        for line in (ROOT / "Dockerfile").read_text().splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in joined.splitlines())]


def stages() -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for name, rest in instructions():
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append((name, rest))
    return found


def given(stage: list[tuple[str, str]], name: str) -> list[str]:
    return [rest for found, rest in stage if found == name]


def test_hadolint_reports_nothing() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"

    done = subprocess.run(
        [hadolint, "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (0, "")
    assert "hadolint ignore" not in (ROOT / "Dockerfile").read_text()


def test_both_stages_use_the_base_image_argument() -> None:
    build, image = stages()

    assert given(instructions(), "ARG")[0].startswith("BASE_IMAGE=")
    assert given(build, "FROM") == ["${BASE_IMAGE} AS build"]
    assert given(image, "FROM") == ["${BASE_IMAGE}"]


def test_installed_packages_are_pinned_by_hash() -> None:
    build, image = stages()
    installs = [
        command
        for line in given(build, "RUN")
        for command in line.split("&&")
        if "pip install" in command
    ]

    assert len(installs) == 3
    for command in installs:
        # the project itself has no hash; the file constrains its build requirements
        assert "--require-hashes" in command or "--build-constraints" in command
    assert not [line for line in given(image, "RUN") if "pip install" in line]


def test_build_requirements_are_pinned_by_hash() -> None:
    text = (ROOT / "deploy" / "build-requirements.txt").read_text()
    names = re.findall(r"^(\S+)==\S+ \\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)

    assert names == [
        "hatchling",
        "packaging",
        "pathspec",
        "pluggy",
        "tomlkit",
        "trove-classifiers",
        "uv",
    ]
    assert "://" not in text, "no index's address belongs in here"


def test_image_runs_as_user_1000() -> None:
    _, image = stages()

    assert given(image, "USER") == ["1000:1000"]
    after = [name for name, _ in image[image.index(("USER", "1000:1000")) :]]
    assert not {"RUN", "COPY", "ADD"} & set(after), "what 1000 makes, 1000 can change"


def test_image_copies_only_the_environment_and_the_app() -> None:
    build, image = stages()

    assert given(image, "COPY") == [
        "--from=build /opt/venv /opt/venv",
        "--from=build /app /app",
    ]
    assert not given(build, "ADD")
    for source in [word for line in given(build, "COPY") for word in line.split()[:-1]]:
        assert (ROOT / source).exists(), f"{source} is not in the repository"
        assert source not in {".", "tests", ".env", ".git"}


def test_byte_code_does_not_depend_on_file_times() -> None:
    build, image = stages()
    compiles = [rest for _, rest in build + image if "compileall" in rest]

    assert len(compiles) == 2
    assert all("--invalidation-mode unchecked-hash" in rest for rest in compiles)
    assert "PYC_INVALIDATION_MODE=UNCHECKED_HASH" in given(build, "ENV")[0]


def test_image_contains_no_secret() -> None:
    values = [rest for name, rest in instructions() if name in {"ARG", "ENV"}]

    assert not [value for value in values if re.search(r"(?i)secret|password|token|_url", value)]


def test_image_declares_port_signal_entrypoint_and_command() -> None:
    _, image = stages()

    assert given(image, "EXPOSE") == ["8000"]
    assert given(image, "STOPSIGNAL") == ["SIGTERM"]
    assert given(image, "ENTRYPOINT") == ['["/app/deploy/entrypoint.sh"]']
    assert given(image, "CMD") == ['["plinth", "serve", "--host", "0.0.0.0", "--port", "8000"]']
    environment = " ".join(given(image, "ENV"))
    for setting in ("PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1", "ENVIRONMENT=production"):
        assert setting in environment


def test_image_and_compose_use_the_same_health_check() -> None:
    _, image = stages()
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    command = compose["services"]["api"]["healthcheck"]["test"]

    assert command == ["CMD", "python", "/app/deploy/healthcheck.py"]
    assert given(image, "HEALTHCHECK")[0].endswith('CMD ["python", "/app/deploy/healthcheck.py"]')


@contextmanager
def serving(path: str, status: int) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == path else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def check_health(port: int, **environment: str) -> int:
    return subprocess.run(
        [sys.executable, "-S", HEALTHCHECK],
        env={"HEALTHCHECK_PORT": str(port), **environment},
        capture_output=True,
        timeout=10,
        check=False,
    ).returncode


def test_health_check_succeeds_while_the_process_is_alive() -> None:
    with serving(HEALTH, 200) as port:
        assert check_health(port) == 0
        assert check_health(port, HTTP_PROXY="http://127.0.0.1:9", http_proxy="http://x:9") == 0
        assert check_health(port, API_V1_PREFIX="/elsewhere") == 1
    with serving("/elsewhere/health/live", 200) as port:
        assert check_health(port) == 1
        assert check_health(port, API_V1_PREFIX="/elsewhere") == 0


def test_health_check_fails_when_the_server_fails() -> None:
    with serving(HEALTH, 503) as port:
        assert check_health(port) == 1
    assert check_health(port) == 1, "no server listens there any longer"


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    """A folder for PATH, with a `plinth` that records its arguments."""
    plinth = tmp_path / "plinth"
    plinth.write_text(
        "#!/bin/sh\n"
        'echo "$$ $*" >>"$CALLS"\n'
        'env >"$CALLS.$1"\n'
        'case "$1" in\n'
        '  db) [ -z "${SLOW:-}" ] || exec sleep 30; exit "${MIGRATION_STATUS:-0}" ;;\n'
        "esac\n"
    )
    plinth.chmod(0o755)
    return tmp_path


def start(bin_folder: Path, *command: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [ENTRYPOINT, *command],
        env={
            "PATH": f"{bin_folder}:/usr/bin:/bin",
            "CALLS": str(bin_folder / "calls"),
            "ENVIRONMENT": "production",
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def calls(bin_folder: Path) -> list[tuple[int, str]]:
    log = bin_folder / "calls"
    lines = log.read_text().splitlines() if log.exists() else []
    return [(int(pid), words) for pid, _, words in (line.partition(" ") for line in lines)]


def test_entrypoint_migrates_then_execs_the_server(bin_folder: Path) -> None:
    process = start(bin_folder, "plinth", "serve", "--port", "8000")
    process.communicate(timeout=PATIENCE)

    (_, migration), (server, serve) = calls(bin_folder)
    assert (migration, serve) == ("db upgrade", "serve --port 8000")
    assert server == process.pid, "exec: the server is process 1 and gets the signals"


def test_server_does_not_get_the_password_of_the_owner_role(bin_folder: Path) -> None:
    owners = {
        "MIGRATION_DATABASE_URL": "postgresql://plinth_owner:owner-s@postgres/plinth",
        "POSTGRES_MIGRATION_PASSWORD": "owner-s",
        "POSTGRES_OWNER_PASSWORD": "owner-s",  # from .env, through env_file in compose.yaml
    }
    start(bin_folder, "plinth", "serve", **owners).communicate(timeout=PATIENCE)

    assert "POSTGRES_MIGRATION_PASSWORD=owner-s" in (bin_folder / "calls.db").read_text()
    assert "owner-s" not in (bin_folder / "calls.serve").read_text()


def test_entrypoint_runs_other_commands_without_a_migration(bin_folder: Path) -> None:
    start(bin_folder, "plinth", "doctor").communicate(timeout=PATIENCE)

    assert [words for _, words in calls(bin_folder)] == ["doctor"]


def test_entrypoint_skips_the_migration_if_disabled(bin_folder: Path) -> None:
    start(bin_folder, "plinth", "serve", MIGRATE_ON_START="0").communicate(timeout=PATIENCE)

    assert [words for _, words in calls(bin_folder)] == ["serve"]


def test_server_does_not_start_after_a_failed_migration(bin_folder: Path) -> None:
    process = start(bin_folder, "plinth", "serve", MIGRATION_STATUS="3")
    process.communicate(timeout=PATIENCE)

    assert process.returncode == 3
    assert [words for _, words in calls(bin_folder)] == ["db upgrade"]


def test_public_password_is_refused_outside_development(bin_folder: Path) -> None:
    compose = (ROOT / "compose.yaml").read_text()
    (public,) = set(re.findall(r"\$\{POSTGRES_PASSWORD:-(.+?)\}", compose))

    refused = start(bin_folder, "plinth", "serve", POSTGRES_PASSWORD=public)
    _, message = refused.communicate(timeout=PATIENCE)
    assert refused.returncode == 1
    assert "POSTGRES_PASSWORD" in message
    assert calls(bin_folder) == []

    owner = start(bin_folder, "plinth", "serve", POSTGRES_MIGRATION_PASSWORD=public)
    _, message = owner.communicate(timeout=PATIENCE)
    assert owner.returncode == 1
    assert "POSTGRES_MIGRATION_PASSWORD" in message

    developing = {"ENVIRONMENT": "development", "POSTGRES_PASSWORD": public}
    start(bin_folder, "plinth", "serve", **developing).communicate(timeout=PATIENCE)
    assert [words for _, words in calls(bin_folder)] == ["db upgrade", "serve"]


def test_stop_signal_during_a_migration_stops_it(bin_folder: Path) -> None:
    process = start(bin_folder, "plinth", "serve", SLOW="1")
    deadline = time.monotonic() + PATIENCE
    while not calls(bin_folder) and time.monotonic() < deadline:
        time.sleep(0.01)
    ((migration, _),) = calls(bin_folder)

    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)

    assert process.returncode == 143
    assert [words for _, words in calls(bin_folder)] == ["db upgrade"]
    with pytest.raises(ProcessLookupError):
        os.kill(migration, 0)


def test_stop_signal_at_the_start_of_the_migration_is_handled(bin_folder: Path) -> None:
    # only the migration can stop it this early; the order of the two differs between the runs
    (bin_folder / "plinth").write_text("#!/bin/sh\nkill -TERM $PPID\nexec sleep 30\n")

    for _ in range(40):
        process = start(bin_folder, "plinth", "serve")
        process.communicate(timeout=PATIENCE)

        assert process.returncode == 143


@pytest.mark.parametrize("name", ["entrypoint.sh", "prove-image.sh"])
def test_shell_scripts_have_valid_syntax(name: str) -> None:
    script = ROOT / "deploy" / name

    assert os.access(script, os.X_OK)
    assert "\nset -eu\n" in script.read_text()
    subprocess.run(["sh", "-n", script], check=True)
