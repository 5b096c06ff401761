"""Memory that was freed goes back to the system: glibc keeps what lies between blocks in use."""

import ctypes
import gc
from functools import cache
from platform import libc_ver
from typing import Any

TRIM_MAX_GENERATION = 1  # generations of the collector: what was made since it last ran in full


def trim() -> None:
    """Takes some milliseconds. Does nothing where the C library is not glibc."""
    gc.collect(TRIM_MAX_GENERATION)  # a refusal and its traceback are a cycle, with the body in it
    if (libc := _find_glibc()) is not None:
        libc.malloc_trim(0)


@cache
def _find_glibc() -> Any:
    return ctypes.CDLL(None) if libc_ver()[0] == "glibc" else None
