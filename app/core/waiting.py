"""A wait with a bound, for what mostly needs no wait."""

import asyncio
from collections.abc import Awaitable, Generator
from typing import Any, TypeVar

T = TypeVar("T")


async def wait_until(deadline: float, awaitable: Awaitable[T]) -> T:
    """As within `asyncio.timeout_at`, which costs more than most of the calls that it would bound:
    no clock is set for what is done at its first step.

    Args:
        deadline: by the loop's clock.

    Raises:
        TimeoutError: it still waited at that time.
    """
    steps = awaitable.__await__()
    try:
        waits_for = next(steps)
    except StopIteration as done:
        value: T = done.value
        return value
    async with asyncio.timeout_at(deadline):
        return await _Begun(steps, waits_for)


class _Begun(Awaitable[T]):
    """As `yield from` goes on (PEP 380), with what made its first step elsewhere."""

    def __init__(self, steps: Generator[Any, Any, T], waits_for: object) -> None:
        self._steps = steps
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, T]:
        waits_for = self._waits_for
        try:
            while True:
                try:
                    yield waits_for
                except BaseException as error:  # noqa: BLE001 - a cancellation too: it is told all
                    waits_for = self._steps.throw(error)
                else:
                    waits_for = next(self._steps)
        except StopIteration as done:
            value: T = done.value
            return value
