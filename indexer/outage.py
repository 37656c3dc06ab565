"""Says in the log that something is waited for: after some seconds, then ever more rarely, and once when it is over."""

import time
from collections.abc import Callable

import structlog

log = structlog.get_logger()

_MORE = 3.0  # times as long as until the line before
_RARELY = 1800.0  # seconds between two lines at most


class Outage:
    """One thing that many wait for, such as the database, and one voice for all of them.

    Args:
        what: its name in the log.
        soon: seconds until the first line. Most trouble is over before.
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
        """`who` asked for it in vain. To be called at each try."""
        now = self._now()
        if not self._waiting:
            self._since, self._next, self._told = now, now + self._soon, False
        self._waiting.add(who)
        if now >= self._next:
            waited = now - self._since
            log.warning(f"waiting for {self._what}", reason=reason, seconds=round(waited))
            self._told = True
            self._next = now + min(waited * (_MORE - 1), _RARELY)

    def ends(self, who: object) -> None:
        """`who` waits no longer."""
        if who in self._waiting:
            self._waiting.discard(who)
            if not self._waiting and self._told:
                log.info(f"no longer waiting for {self._what}", seconds=round(self._now() - self._since))
