import asyncio
from collections.abc import Callable

PATIENCE = 60  # seconds; only a limit for a hanging test, since a busy machine may take long


async def until(holds: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait until a condition holds that a task, a thread or another process changes."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - no event is available
            await asyncio.sleep(0.001)
