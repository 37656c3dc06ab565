"""Limits how much may wait. When it is full, a client is told at once to come again later."""

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.errors import BusyError


class Gate:
    """Admits up to `limit` units of `what` at the same time. Nobody waits for a place."""

    def __init__(self, what: str, limit: int, *, retry_after: int = 1) -> None:
        self.what = what
        self.limit = limit
        self.taken = 0
        self._retry_after = retry_after

    @contextmanager
    def __call__(self, units: int = 1) -> Iterator[None]:
        """Hold `units` while the block runs, or all units if there are fewer.

        Raises:
            BusyError: not so many are free.
        """
        units = min(units, self.limit)
        if self.taken + units > self.limit:
            raise BusyError(f"too many {self.what} are waiting", self._retry_after)
        self.taken += units
        try:
            yield
        finally:
            self.taken -= units
