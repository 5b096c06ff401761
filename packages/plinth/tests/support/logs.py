"""Log lines of the real logging pipeline, captured in memory."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from plinth.observability.logs import REQUESTS, make_formatter


class Log:
    def __init__(self, stream: io.StringIO) -> None:
        self._stream = stream

    @property
    def text(self) -> str:
        return self._stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    @property
    def requests(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["logger"] == REQUESTS]

    def clear(self) -> None:
        self._stream.seek(0)
        self._stream.truncate()


@contextmanager
def logging_to_memory(*, pretty: bool = False, level: str = "INFO") -> Iterator[Log]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(make_formatter(pretty=pretty))
    root, ours = logging.getLogger(), [logging.getLogger(name) for name in ("app", "plinth")]
    before = [logger.level for logger in ours]
    root.addHandler(handler)
    for logger in ours:
        logger.setLevel(level)
    try:
        yield Log(stream)
    finally:
        for logger, usual in zip(ours, before, strict=True):
            logger.setLevel(usual)
        root.removeHandler(handler)
