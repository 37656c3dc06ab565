"""Whether an engine works, and whether a photo is to blame for its errors.

An engine is a model, or what reads and decodes files. After an error it is in doubt: then one photo at a time tries it,
with growing pauses, until it succeeds on one. A photo is to blame only if the engine fails on it again, and has
succeeded on other photos in between.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from indexer.outage import Outage
from indexer.work.pace import USUAL, WorkerPace

_MOST = 10_000  # photos remembered


@dataclass
class _Suspect:
    failures: int = 0
    successes: int = 0  # on other photos, counted when it failed last on this one
    proven: bool = False


class Suspects:
    """Photos on which an engine failed, and how often it has succeeded on others since."""

    def __init__(self) -> None:
        self._successes = 0
        self._suspects: dict[UUID, _Suspect] = {}

    def succeeded(self, photo: UUID) -> None:
        """The engine succeeded on `photo`."""
        self._successes += 1
        self._suspects.pop(photo, None)

    def failed(self, photo: UUID, *, well: bool = True) -> bool:
        """The engine, which was `well` or in doubt, failed on `photo`. Returns whether the photo is proven at fault."""
        suspect = self._suspects.pop(photo, None) or _Suspect()
        if well and suspect.failures and self._successes > suspect.successes:
            suspect.proven = True
        suspect.failures += 1
        suspect.successes = self._successes
        self._suspects[photo] = suspect  # at the end: the first is forgotten first
        if len(self._suspects) > _MOST:
            del self._suspects[next(iter(self._suspects))]
        return well and suspect.proven

    def failures(self, photo: UUID) -> int:
        """How often the engine failed on `photo` in a row."""
        suspect = self._suspects.get(photo)
        return suspect.failures if suspect else 0


class Health:
    """Whether one engine is well, or in doubt.

    Attributes:
        since: when it came into doubt. None: it is well.
        error: why it is in doubt.

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
        """Whether the engine takes all photos."""
        return self.since is None

    @property
    def wait(self) -> float:
        """Seconds until the next photo may try it."""
        return max(0.0, self._next - self._now())

    @property
    def due(self) -> bool:
        """Whether it is in doubt, and a photo should try it now."""
        return not self.well and self._trial is None and not self.wait

    def begin(self, photo: UUID) -> None:
        """`photo` tries it from now on."""
        self._trial = photo

    def end(self, photo: UUID) -> None:
        """`photo` has ended, whether it was read or not."""
        if self._trial == photo:
            self._trial = None

    def admits(self, photo: UUID) -> bool:
        """Whether the engine takes `photo` now."""
        return self.well or self._trial == photo

    def succeeded(self, photo: UUID) -> None:
        """The engine succeeded on `photo`, so it is well."""
        self._suspects.succeeded(photo)
        self.since, self.error = None, ""
        self._outage.ends(self)

    def failed(self, photo: UUID, reason: str, *, provable: bool = True) -> bool:
        """The engine failed on `photo`. Returns whether the photo is proven to be at fault. If not, it is in doubt.

        Not `provable` is an error that is no photo's fault, even where it comes again with that photo alone.
        """
        if self._suspects.failed(photo, well=self.well and provable):
            return True
        if self.well:
            self.since, self._pause = datetime.now(UTC), self._pace.doubt
            self._next = self._now() + self._pause
        elif self._trial == photo:  # photos already under way do not make the pause longer
            self._pause = min(2 * self._pause, self._pace.doubt_longest)
            self._next = self._now() + self._pause
        self.error = reason
        self._outage.goes_on(self, reason)
        return False

    def pause(self, photo: UUID) -> float:
        """Seconds until `photo`, on which it failed, may be tried again: other photos are tried first."""
        return max(self.wait, pause_after(self._suspects.failures(photo), self._pace))


def pause_after(failures: int, pace: WorkerPace) -> float:
    """Seconds until a photo is tried again that failed so often, and is not proven to be at fault."""
    return float(min(pace.doubt * 2.0 ** min(failures, 30), pace.doubt_longest))
