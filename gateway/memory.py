"""Freed memory, kept for the next request instead of given back to the system."""

import contextlib
import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def keep_freed() -> None:
    """Make glibc keep what requests free; nothing where the C library is another.

    By itself it asks the system for each large buffer anew, which then hands it over page by page: for a body of
    500 KB that takes longer than all the rest. glibc comes to the same limits by itself once buffers of 32 MB were
    freed (mallopt(3), `M_MMAP_THRESHOLD`); here they hold from the beginning.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)
        mallopt(_M_TRIM_THRESHOLD, 64 << 20)
