"""`plinth serve`: several workers and graceful shutdown."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.testing.people import People
from tests.support.collector import collecting
from tests.support.command import (
    PATIENCE,
    find_free_port,
    running,
    start_plinth,
    wait_for_health,
    wait_for_log,
)
from tests.support.environment import ROOT, bare_environment
from tests.support.organizations import found

STARTED = "Application startup complete."


@pytest.mark.parametrize("workers", ["1", "2"])
def test_serve_starts_and_stops_gracefully(
    environment: dict[str, str], tmp_path: Path, workers: str
) -> None:
    port, log = find_free_port(), tmp_path / "serve.log"
    settings = environment | {"LOG_FORMAT": "json", "LOG_LEVEL": "DEBUG"}
    settings |= {"METRICS_PORT": str(find_free_port())}
    process = start_plinth("serve", "--port", str(port), "--workers", workers, log=log, **settings)
    check_until_its_end(process, port, log, workers=int(workers))
    lines = log.read_text().splitlines()
    check_log(lines)
    ports = {
        line["event"] for line in map(json.loads, lines) if "serving metrics on" in line["event"]
    }
    assert len(ports) == int(workers), "each worker has figures of its own"


def test_plain_uvicorn_has_the_same_logs_metrics_and_traces(
    environment: dict[str, str], tmp_path: Path
) -> None:
    port, log = find_free_port(), tmp_path / "uvicorn.log"
    command = [sys.executable, "-m", "uvicorn", "app.main:app", "--port", str(port)]
    metrics = find_free_port()
    settings = environment | {"LOG_FORMAT": "json", "LOG_LEVEL": "DEBUG"}
    settings |= {"METRICS_PORT": str(metrics)}
    with collecting() as collector, log.open("ab") as output:
        settings |= {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        process = subprocess.Popen(
            command, cwd=ROOT, env=bare_environment() | settings, stdout=output, stderr=output
        )
        check_until_its_end(process, port, log, metrics=metrics)
    check_log(log.read_text().splitlines())
    assert [span for span in collector.spans if span.name == "GET /api/v1/health/full"]


def test_wait_reports_the_log_of_a_server_that_ended(tmp_path: Path) -> None:
    """And not that it did not respond, after `PATIENCE` seconds."""
    port, log = find_free_port(), tmp_path / "serve.log"
    process = start_plinth("serve", "--port", str(port), log=log, RP_ID="*")
    with pytest.raises(pytest.fail.Exception, match=r"ended with 1:\n.*\n  RP_ID: "):
        wait_for_health(f"http://127.0.0.1:{port}/", process, log)


async def test_revocation_applies_on_all_workers_at_the_next_request(
    environment: dict[str, str], second: asyncpg.Connection, tmp_path: Path
) -> None:
    port, log = find_free_port(), tmp_path / "serve.log"
    url = f"http://127.0.0.1:{port}/api/v1"
    process = start_plinth("serve", "--port", str(port), "--workers", "2", log=log, **environment)
    try:
        await asyncio.to_thread(wait_for_health, f"{url}/health", process, log)
        each_anew = {"Connection": "close"}  # so that different workers respond
        async with AsyncClient(base_url=url, headers=each_anew, timeout=PATIENCE) as client:
            people = People(client, second)
            for _ in range(5):
                person = await people.enter()
                asked = [("GET", "/users/me", 200)] * 10
                asked += [("POST", "/auth/logout", 204)] + [("GET", "/users/me", 401)] * 10
                for method, path, status in asked:
                    answer = await client.request(method, path, headers=person.headers)
                    assert answer.status_code == status
    finally:
        process.terminate()
        process.wait(PATIENCE)


async def test_change_of_a_member_applies_on_four_workers_at_the_next_request(
    environment: dict[str, str], second: asyncpg.Connection, tmp_path: Path
) -> None:
    port, log = find_free_port(), tmp_path / "serve.log"
    url = f"http://127.0.0.1:{port}/api/v1"
    process = start_plinth("serve", "--port", str(port), "--workers", "4", log=log, **environment)
    try:
        await asyncio.to_thread(wait_for_health, f"{url}/health", process, log)
        each_anew = {"Connection": "close"}  # so that different workers respond
        async with AsyncClient(base_url=url, headers=each_anew, timeout=PATIENCE) as client:
            company = await found(client, People(client, second), second)
            member = await company.enter("admin")
            path = f"/members/{member.id}"
            for role, status in (("member", 403), ("admin", 200)) * 5:
                await company.call("PATCH", path, company.owner, {"role": role})
                for _ in range(10):
                    answer = await company.call("GET", "/invitations", member)
                    assert answer.status_code == status
            await company.call("DELETE", path, company.owner)
            for _ in range(20):
                assert (await company.call("GET", "", member)).status_code == 404
    finally:
        process.terminate()
        process.wait(PATIENCE)


def check_until_its_end(
    process: subprocess.Popen[bytes],
    port: int,
    log: Path,
    *,
    workers: int = 1,
    metrics: int | None = None,
) -> None:
    with running(process, port, log):
        wait_for_log(log, STARTED, times=workers)  # one worker responds while another still starts
        answer = wait_for_health(f"http://127.0.0.1:{port}/api/v1/health/full", process, log)
        assert json.loads(answer)["status"] == "healthy", log.read_text()
        if metrics:
            shown = wait_for_health(f"http://127.0.0.1:{metrics}/metrics", process, log)
            assert b'route="/api/v1/health/full"' in shown


def check_log(lines: list[str]) -> None:
    """The log has only JSON lines, and requests in our format instead of uvicorn's."""
    said = [json.loads(line) for line in lines]
    assert STARTED in [line["event"] for line in said]
    asked = [line for line in said if "health" in json.dumps(line)]
    assert {line["logger"] for line in asked} == {"app.request"}
