"""What becomes of memory that is not needed now: it is kept for the next request or picture, or returned."""

import contextlib
import ctypes
import mmap
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # of glibc's malloc.h


def keep_freed(*, up_to: int = 32 << 20, one_thread: bool = True) -> None:
    """Make glibc keep the memory that requests and pictures free. Does nothing with another C library.

    By default glibc asks the system for each large buffer, and the system provides it page by page. For a body of
    500 KB that takes longer than everything else. To decode and scale a preview of 1440 x 1080 pixels takes 1.8 times
    as long. glibc raises its limits by itself after buffers of 32 MB were freed (mallopt(3), `M_MMAP_THRESHOLD`). Here
    they are raised from the beginning.

    Args:
        up_to: bytes of a buffer. Larger ones are returned at once: otherwise they lie scattered, between smaller ones.
        one_thread: let one thread allocate at a time. By default glibc lets 8 for each processor, and keeps what was
            freed for each: a process that decodes pictures in a few threads then needs 50 MB more. It is as fast.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, up_to)
        mallopt(_M_TRIM_THRESHOLD, 64 << 20)
        if one_thread:
            mallopt(_M_ARENA_MAX, 1)


def return_large() -> None:
    """Make glibc return each large buffer to the system as soon as it is freed, until `keep_freed`.

    To load a model takes more memory than to have it. Without this, what was freed lies between what is in use, and
    what is needed next is too large for it: 290 MB at the peak, for Chinese-CLIP ViT-B/16's text tower in fp32. Does
    nothing with another C library.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 128 << 10)


def return_freed() -> None:
    """Return to the system what was freed so far. Does nothing with another C library."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def release_mapped(address: int, length: int) -> None:
    """Take what was read of a mapped file out of this process's memory, `length` bytes from `address` on.

    Never for other memory: its content would be lost. Whole pages only. Does nothing on a system other than Linux.
    """
    if not sys.platform.startswith("linux"):
        return
    start = -(-address // mmap.PAGESIZE) * mmap.PAGESIZE
    length = (address + length - start) // mmap.PAGESIZE * mmap.PAGESIZE
    if length > 0:
        ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), mmap.MADV_DONTNEED)


@contextlib.contextmanager
def releasing(packages: Sequence[str], paths: Sequence[Path] = ()) -> Iterator[None]:
    """Keep what is only read once out of this process's memory: it is released every 2 ms and at the end.

    That is the content of the mapped files `paths`, and the machine code of those Python packages: most of it only
    loads models. Whoever needs it again, reads the file again. Code alone, which nothing changes after a library was
    loaded. Does nothing on a system other than Linux.
    """
    names = {str(path.resolve()) for path in paths}
    parts = [f"/{package}/" for package in packages]
    over = threading.Event()

    def release() -> None:
        _release(lambda rights, name: name in names or (rights == "r-xp" and any(part in name for part in parts)))

    def watch() -> None:
        while not over.wait(0.002):
            release()

    thread = threading.Thread(target=watch, name="releasing", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        release()


def _release(chosen: Callable[[str, str], bool]) -> None:
    """Release the mapped parts that are `chosen` by their rights and the name of their file."""
    if not sys.platform.startswith("linux"):
        return
    with Path("/proc/self/maps").open(encoding="utf-8", errors="replace") as maps:
        parts = [line.rstrip("\n").split(maxsplit=5) for line in maps]  # proc(5): five columns, and the file's name
    for part in parts:
        if len(part) == 6 and chosen(part[1], part[5]):
            start, end = (int(address, 16) for address in part[0].split("-"))
            release_mapped(start, end - start)
