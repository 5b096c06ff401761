"""What a thread has freed goes back to the system: glibc keeps it in the thread's own heap, for
good, and a password's hash takes 19 MiB. Where the C library is another one, nothing is done."""

import ctypes
import threading
from platform import libc_ver

TRIM_THRESHOLD = -1  # malloc.h: as much free room as a heap keeps at its end
KEPT = 1 << 30  # between two hashes that follow each other: all of it
A_FREE_THAT_TRIMS = 1 << 17  # from 64 KiB on, free() looks at that room

_lock = threading.Lock()
_libc = ctypes.CDLL(None) if libc_ver()[0] == "glibc" else None
if _libc:
    _libc.malloc.argtypes, _libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    _libc.free.argtypes, _libc.free.restype = [ctypes.c_void_p], None


def give_back() -> None:
    """Of the thread that calls. To have 19 MiB again costs it 6 ms."""
    if not _libc:
        return
    with _lock:
        _libc.mallopt(TRIM_THRESHOLD, 0)
        _libc.free(_libc.malloc(A_FREE_THAT_TRIMS))
        _libc.mallopt(TRIM_THRESHOLD, KEPT)
