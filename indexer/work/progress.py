"""Logs how many photos were read, at most once in some seconds, and when no more are to be read."""

import time
from collections.abc import Callable

import structlog

log = structlog.get_logger()

_INTERVAL = 10.0  # seconds between two lines


class Progress:
    """Counts photos. `now`: a clock in seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._next = now()  # the earliest moment for another line
        self._unlogged = 0
        self._behind = False  # whether photos were logged since the last "caught up"

    def read(self, photos: int) -> None:
        """`photos` more were read."""
        self._unlogged += photos
        if self._unlogged:
            self._tell("read", behind=True)

    def caught_up(self) -> None:
        """There is nothing to read now. May be called again and again."""
        if self._unlogged or self._behind:
            self._tell("caught up", behind=False)

    def _tell(self, event: str, *, behind: bool) -> None:
        now = self._now()
        if now >= self._next:
            log.info(event, photos=self._unlogged)
            self._next, self._unlogged, self._behind = now + _INTERVAL, 0, behind
