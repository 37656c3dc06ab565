"""Logs that something is waited for: after some seconds, then less and less often, and once when the wait is over."""

import time
from collections.abc import Callable

import structlog

log = structlog.get_logger()

_GROWTH = 3.0  # each line comes when the wait is this many times as long as at the line before
_RARELY = 1800.0  # seconds between two lines at most


class Outage:
    """One thing that several tasks wait for, such as the database. Their waiting is logged once, not once for each.

    Args:
        what: its name in the log.
        soon: seconds until the first line. Most trouble is over before then.
        now: a clock in seconds.
    """

    def __init__(self, what: str, *, soon: float = 10, now: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._soon = soon
        self._now = now
        self._waiting: set[object] = set()
        self._since = 0.0
        self._next = 0.0  # when to say the next line
        self._told = False

    def goes_on(self, who: object, reason: str) -> None:
        """`who` has tried, and did not get it. To be called after each try that failed."""
        now = self._now()
        if not self._waiting:
            self._since, self._next, self._told = now, now + self._soon, False
        self._waiting.add(who)
        if now >= self._next:
            waited = now - self._since
            log.warning(f"waiting for {self._what}", reason=reason, seconds=round(waited))
            self._told = True
            self._next = now + min(waited * (_GROWTH - 1), _RARELY)

    def ends(self, who: object) -> None:
        """`who` no longer waits for it."""
        if who in self._waiting:
            self._waiting.discard(who)
            if not self._waiting and self._told:
                log.info(f"no longer waiting for {self._what}", seconds=round(self._now() - self._since))
