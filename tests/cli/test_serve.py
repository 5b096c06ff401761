"""`plinth serve`: several workers, and an end in order."""

import json
import signal
from pathlib import Path

import pytest

from tests.support.command import PATIENCE, find_free_port, start_plinth, wait_for_health


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_serves_and_ends_in_order(
    environment: dict[str, str], tmp_path: Path, workers: str
) -> None:
    port, log = find_free_port(), tmp_path / "serve.log"
    process = start_plinth(
        "serve", "--port", str(port), "--workers", workers, log=log, **environment
    )
    try:
        answer = wait_for_health(f"http://127.0.0.1:{port}/api/v1/health/full")
        assert json.loads(answer)["status"] == "healthy", log.read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) in (0, -signal.SIGTERM, 128 + signal.SIGTERM)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert "Traceback" not in log.read_text()
