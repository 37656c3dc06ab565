"""What a job is, its priority, and which ones to claim."""

from dataclasses import dataclass
from enum import IntEnum
from uuid import UUID

from indexer.database.statements import priorities

_PRIORITIES = priorities()


class Priority(IntEnum):
    """Whose turn it is, lowest first: the values and what each is for are in sql/terms.sql."""

    REQUEST = _PRIORITIES["request"]
    UPLOAD = _PRIORITIES["upload"]
    BULK = _PRIORITIES["bulk"]
    BACKFILL = _PRIORITIES["backfill"]


@dataclass(frozen=True)
class Job:
    """A claimed job. `generation` tells, when it ends, whether it was asked for again meanwhile.

    `alone`: a worker died while it held this, so it must run by itself.
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

    `without`: tasks that nobody can do now; a job that wants nothing else stays, if it says already what it waits for,
    or, `strictly`, in any case. `wanting`: those that want one of these tasks, empty: all.
    """

    without: frozenset[str] = frozenset()
    strictly: bool = False
    wanting: frozenset[str] = frozenset()
