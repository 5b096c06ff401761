"""Graceful shutdown. tests/faults/test_lifecycle.py tests it on a whole server."""

import signal

import pytest
import uvicorn

from plinth.health import readiness
from plinth.health.readiness import draining, draining_at_sigterm
from tests.support.waiting import until


async def test_signal_during_a_log_write_starts_the_shutdown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A signal may arrive during a write, and Python refuses a nested write."""
    handling = True

    def write(*_: object) -> None:
        if handling:
            raise RuntimeError("reentrant call")

    monkeypatch.setattr(readiness.logger, "info", write)
    server = uvicorn.Server(uvicorn.Config("nothing"))
    before = signal.signal(signal.SIGTERM, server.handle_exit)
    try:
        with draining_at_sigterm(0.01):
            signal.raise_signal(signal.SIGTERM)
            handling = False
            assert draining
            await until(lambda: server.should_exit)
    finally:
        signal.signal(signal.SIGTERM, before)
        draining.reset()
