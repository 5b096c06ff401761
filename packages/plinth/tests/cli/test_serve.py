"""`plinth serve`: its start, its log and graceful shutdown."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.collector import collecting
from tests.support.command import (
    find_free_port,
    running,
    start_plinth,
    wait_for_health,
    wait_for_log,
)
from tests.support.environment import ROOT, bare_environment

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
