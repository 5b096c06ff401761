import asyncio
from collections.abc import Callable

PATIENCE = 60  # seconds; a bound for what hangs, and no measure: a busy machine may take long


async def until(holds: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait for what the loop, a thread or another process is about to make true."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - no event tells us
            await asyncio.sleep(0.001)
