"""How an engine is, and whether a photo is to blame for its errors.

An engine is a model, or what reads files and decodes them. One that fails is in doubt: one photo at a time tries it,
with growing pauses, until it does well. A photo is to blame only where a well engine fails on it again, having done
well on others since.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from indexer.outage import Outage
from indexer.work.pace import USUAL, WorkerPace

_MOST = 10_000  # suspects remembered


@dataclass
class _Suspect:
    failures: int = 0
    successes: int = 0  # of others, when it failed last
    proven: bool = False


class Suspects:
    """Photos that something failed on, and how it did on others since."""

    def __init__(self) -> None:
        self._successes = 0
        self._suspects: dict[UUID, _Suspect] = {}

    def succeeded(self, photo: UUID) -> None:
        """It did well on `photo`."""
        self._successes += 1
        self._suspects.pop(photo, None)

    def failed(self, photo: UUID, *, well: bool = True) -> bool:
        """It failed on `photo`, being `well` or in doubt. Returns whether that is proven to be the photo's fault."""
        suspect = self._suspects.pop(photo, None) or _Suspect()
        if well and suspect.failures and self._successes > suspect.successes:
            suspect.proven = True
        suspect.failures += 1
        suspect.successes = self._successes
        self._suspects[photo] = suspect  # the last one now
        if len(self._suspects) > _MOST:
            del self._suspects[next(iter(self._suspects))]
        return well and suspect.proven

    def failures(self, photo: UUID) -> int:
        """How often it failed on `photo` in a row."""
        suspect = self._suspects.get(photo)
        return suspect.failures if suspect else 0


class Health:
    """One engine's. `since`: when it came into doubt, None while it is well; `error`: why.

    Args:
        name: what the log calls it.
        tasks: the tasks of a job that need it.
        pace: how long to wait before it is tried again.
        now: a clock in seconds.
    """

    def __init__(
        self,
        name: str,
        tasks: Iterable[str],
        pace: WorkerPace = USUAL,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tasks = frozenset(tasks)
        self.since: datetime | None = None
        self.error = ""
        self._pace = pace
        self._now = now
        self._outage = Outage(name, soon=self._pace.outage, now=now)
        self._suspects = Suspects()
        self._trial: UUID | None = None
        self._pause = 0.0
        self._next = 0.0

    @property
    def well(self) -> bool:
        """Whether photos may be given to it as they come."""
        return self.since is None

    @property
    def wait(self) -> float:
        """Seconds until a photo may try it that is in doubt."""
        return max(0.0, self._next - self._now())

    @property
    def due(self) -> bool:
        """Whether it is in doubt, and one photo is to try it now."""
        return not self.well and self._trial is None and not self.wait

    def begin(self, photo: UUID) -> None:
        """`photo` is the one that tries it."""
        self._trial = photo

    def end(self, photo: UUID) -> None:
        """`photo` is through, whatever came of it."""
        if self._trial == photo:
            self._trial = None

    def admits(self, photo: UUID) -> bool:
        """Whether `photo` may be given to it."""
        return self.well or self._trial == photo

    def succeeded(self, photo: UUID) -> None:
        """It did well on `photo`, so it is well."""
        self._suspects.succeeded(photo)
        self.since, self.error = None, ""
        self._outage.ends(self)

    def failed(self, photo: UUID, reason: str) -> bool:
        """It failed on `photo`. Returns whether that is proven to be the photo's fault; else the engine is in doubt."""
        if self._suspects.failed(photo, well=self.well):
            return True
        if self.well:
            self.since, self._pause = datetime.now(UTC), self._pace.doubt
            self._next = self._now() + self._pause
        elif self._trial == photo:  # not what was under way already when the doubt arose
            self._pause = min(2 * self._pause, self._pace.doubt_longest)
            self._next = self._now() + self._pause
        self.error = reason
        self._outage.goes_on(self, reason)
        return False

    def pause(self, photo: UUID) -> float:
        """Seconds after which `photo`, which it failed on, may come again: others before it."""
        return max(self.wait, pause_after(self._suspects.failures(photo), self._pace))


def pause_after(failures: int, pace: WorkerPace) -> float:
    """Seconds after which a photo may come again that something failed on so often, through no fault of its own."""
    return float(min(pace.doubt * 2.0 ** min(failures, 30), pace.doubt_longest))
