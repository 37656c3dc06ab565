"""How much may wait: who comes when it is full hears so at once, and when to come again."""

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.errors import BusyError


class Gate:
    """Lets in up to `limit` units of `what` at once, and nobody waits for a place."""

    def __init__(self, what: str, limit: int, *, retry_after: int = 1) -> None:
        self.what = what
        self.limit = limit
        self.taken = 0
        self._retry_after = retry_after

    @contextmanager
    def __call__(self, units: int = 1) -> Iterator[None]:
        """Hold `units`, at most all there are, for as long as the block lasts.

        Raises:
            BusyError: there are not as many left.
        """
        units = min(units, self.limit)
        if self.taken + units > self.limit:
            raise BusyError(f"too many {self.what} are waiting", self._retry_after)
        self.taken += units
        try:
            yield
        finally:
            self.taken -= units
