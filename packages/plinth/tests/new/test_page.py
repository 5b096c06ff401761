"""Run the commands of docs/how-to/resources.md in order and compare their output."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from plinth.testing.databases import TestServices, empty_database
from tests.new.conftest import PATIENCE, Checkout
from tests.support.command import find_free_port
from tests.support.environment import ROOT

PAGE = ROOT / "docs/how-to/resources.md"
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = "\x1f"

# Functions for the steps that need a second terminal or run once, and for stopping the server.
STAND_INS = """
make() {{
    if [ "$1" = dev ]; then
        plinth dev --port {port} --no-reload > "$DATA_DIR/log" 2>&1 &
        echo $! > "$DATA_DIR/pid"
        until curl -sf localhost:{port}/api/v1/health/live > /dev/null; do
            kill -0 $! && sleep 0.1 || {{ cat "$DATA_DIR/log"; exit 1; }}
        done
    fi
}}
"""
VOLATILE = {
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z": "<time>",
    r"\d{4}-\d\d-\d\d_\d{4}_": "<time>_",
    r"cursor=[\w-]+": "cursor=<cursor>",
    r'"request_id": ?"[0-9a-f]{32}"': "<request id>",
}


@dataclass(frozen=True, slots=True)
class Step:
    command: str
    prints: str | None
    """None where the page does not say."""


def read_steps() -> list[Step]:
    blocks = BLOCK.findall(PAGE.read_text())
    following = [*blocks[1:], ("sh", "")]
    return [
        Step(text, next_text if next_kind == "text" else None)
        for (kind, text), (next_kind, next_text) in zip(blocks, following, strict=True)
        if kind == "sh"
    ]


@pytest.fixture
def printed(checkout: Checkout, services: TestServices) -> Iterator[list[str]]:
    """Return the output of each step."""
    port = find_free_port()
    data = Path(checkout.environment["DATA_DIR"])
    data.mkdir()
    script = ["set -euo pipefail", STAND_INS.format(port=port)]
    for step in read_steps():
        script += [f"printf '{MARK}'", step.command.replace("localhost:8000", f"127.0.0.1:{port}")]
    with empty_database(services, "page") as url:
        try:
            done = subprocess.run(
                ["bash", "-c", "\n".join(script)],
                cwd=checkout.folder,
                env=checkout.environment
                | {"DATABASE_URL": url, "REDIS_URL": services.redis_url, "CACHE_PREFIX": "page"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
        finally:
            if (data / "pid").exists():
                os.kill(int((data / "pid").read_text()), signal.SIGTERM)
        assert done.returncode == 0, done.stdout + done.stderr
        yield done.stdout.split(MARK)[1:]


def test_commands_of_the_page_print_its_output(printed: list[str], checkout: Checkout) -> None:
    steps = read_steps()
    assert len(printed) == len(steps)
    for step, real in zip(steps, printed, strict=True):
        if step.prints is not None:
            assert settle(real) == settle(step.prints), f"{step.command}\nprinted\n{real}"
    assert re.fullmatch(r"\d+ passed in .*\n", printed[-2])
    assert checkout.run("git", "status", "--short").stdout == ""


def settle(text: str) -> str:
    for pattern, instead in VOLATILE.items():
        text = re.sub(pattern, instead, text)
    return text.strip()
