"""Python's garbage collector, tuned for a server: docs/explanation/decisions/hot-path.md."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# A request in work holds some hundred objects that the collector looks at, and frees them without
# it. By the usual 700 it would look at all requests in work every few requests, and find nothing.
# So this is more than all have that may be in work together (`MAX_IN_FLIGHT`).
GC_THRESHOLD = 50_000


@contextmanager
def tuned_gc() -> Iterator[None]:
    """What was loaded so far stays, and is not looked at again."""
    usual = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()
