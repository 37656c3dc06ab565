"""What a container lets us have, in the files of cgroup 1 and 2."""

import os
from pathlib import Path

import pytest

from indexer import limits
from indexer.limits import Limits

MB = 1 << 20
OLD_NONE = "9223372036854771712"  # cgroup 1 for "no limit"

OF_A_CONTAINER = {"proc/self/cgroup": "0::/\n"}
OF_A_SERVICE = {"proc/self/cgroup": "0::/system.slice/indexer.service\n"}
# Docker with cgroup 1: the paths are the host's, the mounts the container's own.
OLD = {
    "proc/self/cgroup": "9:name=systemd:/docker/4f\n4:memory:/docker/4f\n2:cpu,cpuacct:/docker/4f\n0::/docker/4f\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
}
CASES = {
    "2, none": (
        OF_A_CONTAINER | {"sys/fs/cgroup/cpu.max": "max 100000\n", "sys/fs/cgroup/memory.max": "max\n"},
        None,
        None,
    ),
    "2": (
        OF_A_CONTAINER | {"sys/fs/cgroup/cpu.max": "150000 100000\n", "sys/fs/cgroup/memory.max": f"{420 * MB}\n"},
        1.5,
        420,
    ),
    "2, of the group above": (
        OF_A_SERVICE
        | {
            "sys/fs/cgroup/system.slice/cpu.max": "50000 100000\n",
            "sys/fs/cgroup/system.slice/memory.max": f"{900 * MB}\n",
            "sys/fs/cgroup/system.slice/indexer.service/cpu.max": "200000 100000\n",
            "sys/fs/cgroup/system.slice/indexer.service/memory.max": "max\n",
        },
        0.5,
        900,
    ),
    "2, not of another": (
        OF_A_SERVICE | {"sys/fs/cgroup/user.slice/memory.max": "1\n", "sys/fs/cgroup/user.slice/cpu.max": "1 100000\n"},
        None,
        None,
    ),
    "1": (
        OLD
        | {
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "250000\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{700 * MB}\n",
        },
        2.5,
        700,
    ),
    "1, none": (
        OLD
        | {
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{OLD_NONE}\n",
        },
        None,
        None,
    ),
    "1, on the machine itself": (
        OLD
        | {
            "sys/fs/cgroup/memory/docker/memory.limit_in_bytes": f"{800 * MB}\n",
            "sys/fs/cgroup/memory/docker/4f/memory.limit_in_bytes": f"{OLD_NONE}\n",
        },
        None,
        800,
    ),
    "no such files": ({}, None, None),
    "rubbish": (OF_A_CONTAINER | {"sys/fs/cgroup/cpu.max": "much\n", "sys/fs/cgroup/memory.max": ""}, None, None),
}


@pytest.fixture
def root(tmp_path: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


@pytest.mark.parametrize(("files", "processors", "memory"), CASES.values(), ids=CASES)
def test_limits(root: Path, processors: float | None, memory: int | None):
    assert limits.read(root) == Limits(processors, None if memory is None else memory * MB)


@pytest.mark.parametrize(
    ("files", "threads"),
    [
        (OF_A_CONTAINER | {"sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
        (OF_A_CONTAINER | {"sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2),
        (OF_A_CONTAINER | {"sys/fs/cgroup/cpu.max": "1000 100000\n"}, 1),
        (OF_A_CONTAINER | {"sys/fs/cgroup/cpu.max": "6400000 100000\n"}, 8),
    ],
)
def test_threads_follow_the_quota(root: Path, threads: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert limits.processors(root) == threads


@pytest.mark.parametrize(
    ("files", "kills", "boot"),
    [
        ({"proc/vmstat": "oom_kill 3\nx 4\n", "proc/sys/kernel/random/boot_id": "1-2\n"}, 3, "1-2"),
        ({"proc/vmstat": "x 4\n"}, None, None),
        ({}, None, None),
    ],
)
def test_whom_the_kernel_has_ended(root: Path, kills: int | None, boot: str | None):
    assert (limits.memory_kills(root), limits.boot(root)) == (kills, boot)


def test_this_machine():
    assert limits.processors() >= 1


def test_the_peak_of_a_process_is_what_the_kernel_has_counted(tmp_path):
    (tmp_path / "proc/7").mkdir(parents=True)
    (tmp_path / "proc/7/status").write_text("Name:\tpython\nVmPeak:\t  9999 kB\nVmHWM:\t  2048 kB\nVmRSS:\t  1 kB\n")
    assert limits.peak(7, tmp_path) == 2 * MB
    assert limits.peak(8, tmp_path) is None
    assert (limits.peak(os.getpid()) or 0) > MB


def test_memory_is_the_machines_or_less(tmp_path: Path):
    machine = limits.memory(tmp_path)
    assert machine > 1 << 30
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/\n")
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/memory.max").write_text(f"{512 << 20}\n")
    assert limits.memory(tmp_path) == 512 << 20
    (tmp_path / "sys/fs/cgroup/memory.max").write_text(f"{machine * 2}\n")
    assert limits.memory(tmp_path) == machine
