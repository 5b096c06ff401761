import asyncio
from collections.abc import Callable


async def until(holds: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for what the loop, a thread or another process is about to make true."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - no event tells us
            await asyncio.sleep(0.001)
