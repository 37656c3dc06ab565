"""The log tells how many photos were read, and not of each of them."""

import pytest
from structlog.testing import capture_logs

from indexer.work.progress import Progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def told(lines) -> list[tuple[str, int]]:
    assert all(line["log_level"] == "info" for line in lines)
    return [(line["event"], line["photos"]) for line in lines]


def test_sixty_uploads_leave_a_few_lines(clock):
    with capture_logs() as lines:
        progress = Progress(clock)
        progress.caught_up()
        for _ in range(60):
            progress.read(1)
            progress.caught_up()
            clock.now += 0.5
        for _ in range(10):
            progress.caught_up()
            clock.now += 5
    assert sum(photos for _, photos in told(lines)) == 60
    assert len(lines) == 4, "once in 10 s"
    assert lines[-1]["event"] == "caught up"


def test_it_says_that_it_has_caught_up_though_all_was_told(clock):
    with capture_logs() as lines:
        progress = Progress(clock)
        progress.read(3)
        clock.now += 60
        progress.read(0)
        progress.caught_up()
        progress.caught_up()
    assert told(lines) == [("read", 3), ("caught up", 0)]
