"""What loading a model reads once does not stay in this process's memory."""

import mmap
import sys
from pathlib import Path

import pytest

from indexer import allocator

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only there")

SIZE = 8 << 20


def in_memory(path: Path, rights: str = "") -> int:
    """Bytes of the mapped file that this process has in memory, of its parts with those rights."""
    found, counts = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first, *rest = line.split()
        if not first.endswith(":"):
            counts = line.endswith(str(path)) and rest[0].startswith(rights)
        elif counts and first == "Rss:":
            found += int(rest[0]) * 1024
    return found


def test_a_mapped_file_is_released_and_can_be_read_again(tmp_path):
    weights, other = tmp_path / "weights", tmp_path / "other"
    for path in (weights, other):
        path.write_bytes(bytes(range(256)) * (SIZE // 256))
    with weights.open("rb") as one, other.open("rb") as two:
        mapped, beside = (mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) for file in (one, two))
        with allocator.releasing((), [weights]):
            assert sum(mapped[:: mmap.PAGESIZE]) == sum(beside[:: mmap.PAGESIZE]) == 0
        assert in_memory(weights) == 0
        assert in_memory(other) == SIZE, "no other file is touched"
        assert mapped[SIZE - 1] == 255
        mapped.close()
        beside.close()


def test_code_that_is_released_still_runs():
    import cv2
    import numpy as np

    picture = np.arange(300, dtype=np.uint8).reshape(10, 10, 3)
    before = cv2.resize(picture, (5, 5))
    parts = Path("/proc/self/maps").read_text().splitlines()
    [library] = {Path(line.split()[-1]) for line in parts if "/cv2/cv2" in line}
    assert in_memory(library, "r-xp") > 0
    with allocator.releasing(["cv2"]):
        pass
    assert in_memory(library, "r-xp") == 0
    assert in_memory(library) > 0, "what is no code stays"
    assert (cv2.resize(picture, (5, 5)) == before).all()
