"""What this process may use: processors and memory, as limited by control groups of Linux (cgroup 1 and 2).

A container is limited by its own group and by all groups above it: the smallest limit counts. See
https://docs.kernel.org/admin-guide/cgroup-v2.html and .../cgroup-v1/.
"""

import contextlib
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

N = TypeVar("N", int, float)

_NONE = 1 << 60  # bytes: cgroup 1 writes "no limit" as the largest number of its page counter


@dataclass(frozen=True)
class Limits:
    """`processors` is a quota and may be a fraction. `memory` is in bytes. None where there is no limit."""

    processors: float | None
    memory: int | None


def read(root: Path = Path("/")) -> Limits:
    """The present limits. `root` is the folder that contains /proc and /sys."""
    quotas, memories = [], []
    for folder in _groups(root, "cpu"):
        quotas += [_quota(_words(folder / "cpu.max")), _quota(_old_quota(folder))]
    for folder in _groups(root, "memory"):
        memories += [_bytes(_words(folder / name)) for name in ("memory.max", "memory.limit_in_bytes")]
    return Limits(_least(quotas), _least(memories))


def processors(root: Path = Path("/")) -> int:
    """How many threads can run at the same time: by the affinity mask and by the quota, rounded up, at least 1."""
    quota = read(root).processors
    mask = len(os.sched_getaffinity(0))
    return mask if quota is None else max(1, min(mask, math.ceil(quota)))


def memory(root: Path = Path("/")) -> int:
    """Bytes that this process may use: the limit, or where that is larger or there is none, what the machine has."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(total, read(root).memory or total)


def memory_kills(root: Path = Path("/")) -> int | None:
    """How many processes of this machine the kernel has killed for lack of memory since its start. None: unknown.

    It is the machine's counter: the counter of a container's own group starts again at each start of the container.
    """
    with contextlib.suppress(OSError, ValueError):
        for line in (root / "proc/vmstat").read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return None


def peak(pid: int, root: Path = Path("/")) -> int | None:
    """The most memory that a running process has had, in bytes: what `VmHWM` in proc(5) says. None: unknown."""
    with contextlib.suppress(OSError, ValueError):
        for line in (root / f"proc/{pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "VmHWM":
                return int(value.split()[0]) * 1024
    return None


def boot(root: Path = Path("/")) -> str | None:
    """An identifier of this start of the machine. None: unknown."""
    with contextlib.suppress(OSError):
        return (root / "proc/sys/kernel/random/boot_id").read_text().strip()
    return None


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of our group and of those above it, in each hierarchy with this controller.

    Inside of a container /proc may name a path of the host, which does not exist below the mount. Then the mount itself
    is the folder of our group.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            mounts = [root / "sys/fs/cgroup", root / "sys/fs/cgroup/unified"]
        elif controller in controllers.split(","):
            mounts = [root / "sys/fs/cgroup" / controllers, root / "sys/fs/cgroup" / controller]
        else:
            continue
        parts = [part for part in path.split("/") if part and part != ".."]
        for mount in dict.fromkeys(mounts):
            for depth in range(len(parts), -1, -1):
                yield mount.joinpath(*parts[:depth])


def _words(file: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return file.read_text().split()
    return []


def _old_quota(folder: Path) -> list[str]:
    quota, period = (_words(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    return ["max"] if quota == ["-1"] else quota + period


def _quota(words: list[str]) -> float | None:
    """The quota in `150000 100000`: microseconds in each period, and the length of the period."""
    with contextlib.suppress(ValueError, ZeroDivisionError):
        quota, period = words
        return int(quota) / int(period)
    return None


def _bytes(words: list[str]) -> int | None:
    with contextlib.suppress(ValueError):
        (limit,) = words
        return int(limit) if int(limit) < _NONE else None
    return None


def _least(found: Iterable[N | None]) -> N | None:
    return min((value for value in found if value is not None), default=None)
