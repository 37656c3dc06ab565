"""Says in the log how many photos were read, at most once in some seconds, and when there are no more to read."""

import time
from collections.abc import Callable

import structlog

log = structlog.get_logger()

_INTERVAL = 10.0  # seconds between two lines


class Progress:
    """Counts photos; `now` is a clock in seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._next = now()  # the earliest moment for another line
        self._untold = 0
        self._behind = False  # whether a line told of photos and none yet that these were the last

    def read(self, photos: int) -> None:
        """So many more were read."""
        self._untold += photos
        if self._untold:
            self._tell("read", behind=True)

    def caught_up(self) -> None:
        """There is nothing to read now. May be said again and again."""
        if self._untold or self._behind:
            self._tell("caught up", behind=False)

    def _tell(self, event: str, *, behind: bool) -> None:
        now = self._now()
        if now >= self._next:
            log.info(event, photos=self._untold)
            self._next, self._untold, self._behind = now + _INTERVAL, 0, behind
