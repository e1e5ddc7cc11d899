"""Memory the process has freed goes back to the machine.

glibc keeps what was freed for later: a heap for each thread, from which it gives back only what lies
at the end, and after the first large array that is freed it takes such arrays from these heaps too.
A server that plans in one thread and writes in another, or an agent whose pool opens a thread now
and then, would keep the most that each ever needed, for good (measured at a server with 1,000 agents
and 10,000 jobs: 90 MB in use, 150 MB free and kept).
Where the C library is another one, all of this does nothing.
"""

from __future__ import annotations

import ctypes

# malloc.h, as given to mallopt(3).
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8
ALONE_FROM_BYTES = 256 * 1024
"""An array of this size is a mapping of its own, gone when it is freed. Once set, glibc no longer
raises the bound by itself."""
HEAPS = 2
"""For all threads together: at most one computes at a time but for kernels, which allocate nothing."""


def _library() -> ctypes.CDLL | None:
    try:
        found = ctypes.CDLL(None)
        found.mallopt, found.malloc_trim  # noqa: B018 - glibc has both
    except (OSError, AttributeError):
        return None
    return found


_LIBRARY = _library()


def keep_little() -> bool:
    """Called before threads start. False: this C library cannot be told."""
    if _LIBRARY is None:
        return False
    told = [
        _LIBRARY.mallopt(option, value)
        for option, value in (
            (M_ARENA_MAX, HEAPS),
            (M_MMAP_THRESHOLD, ALONE_FROM_BYTES),
            (M_TRIM_THRESHOLD, ALONE_FROM_BYTES),
        )
    ]
    return all(told)


def give_back() -> None:
    """Free pages in the midst of the heaps too. Takes some ten milliseconds at 200 MB, without the
    interpreter's lock."""
    if _LIBRARY is not None:
        _LIBRARY.malloc_trim(0)
