"""A client on plain sockets, with low overhead."""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from urllib.parse import urlsplit

PATIENCE = 60  # seconds for the whole run


def ask(url: str, requests: Sequence[bytes], *, times: int, connections: int) -> None:
    """Send so many requests, in turn, each connection its next one when it has an answer.

    Raises:
        AssertionError: the status of a response is not 200.
    """

    async def ask_all() -> None:
        left = islice(cycle(requests), times)
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            for _ in range(connections):
                group.create_task(_ask_one_by_one(url, left))

    asyncio.run(ask_all())


async def _ask_one_by_one(url: str, left: Iterator[bytes]) -> None:
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        for request in left:
            writer.write(request)
            await _read_answer(reader)
    finally:
        writer.close()
        await writer.wait_closed()


async def _read_answer(reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    status, *lines = head.splitlines()
    assert status.split()[1] == "200", head
    length = next(line for line in lines if line.startswith("content-length:"))
    await reader.readexactly(int(length.partition(":")[2]))
