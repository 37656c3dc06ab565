"""What a job is, its priority, and which ones to claim."""

from dataclasses import dataclass
from enum import IntEnum
from uuid import UUID

from indexer.database.statements import priorities

_PRIORITIES = priorities()


class Priority(IntEnum):
    """Which jobs go first: the lowest value. sql/terms.sql has the values and says what each is for."""

    REQUEST = _PRIORITIES["request"]
    UPLOAD = _PRIORITIES["upload"]
    BULK = _PRIORITIES["bulk"]
    BACKFILL = _PRIORITIES["backfill"]


@dataclass(frozen=True)
class Job:
    """A claimed job. By its `generation` the queue knows, at its end, whether it was asked for again meanwhile.

    `alone`: a worker died while it held this job, so it must run alone.
    """

    asset_id: UUID
    tasks: frozenset[str]
    priority: int
    generation: int
    attempts: int
    alone: bool = False

    @property
    def interactive(self) -> bool:
        """Whether a person waits for it."""
        return self.priority <= Priority.REQUEST


@dataclass(frozen=True)
class Choice:
    """Which jobs to claim.

    `without`: tasks that cannot be done now. A job that has only these is not claimed if it already says what it
    waits for, or if `strictly`. `wanting`: only jobs with one of these tasks. Empty: all jobs.
    """

    without: frozenset[str] = frozenset()
    strictly: bool = False
    wanting: frozenset[str] = frozenset()
