"""Two libraries, loaded without what they take along just because it is installed.

structlog takes rich, for tracebacks that we never show, and redis-py the OpenTelemetry SDK's
metrics, to annotate a type: together 0.12 s of every start, and 8 MiB of every process. The package
`app.core` imports this before any of its modules; later, whoever asks for these gets them.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Meanwhile these modules, unless they are loaded already, are as if not installed."""
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # as the import system's docs have it
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


# Where one is missing, whoever needs it says so: a few modules need none.
with without("rich", "opentelemetry.sdk.metrics"), suppress(ModuleNotFoundError):
    import redis.asyncio  # noqa: F401
    import structlog  # noqa: F401
