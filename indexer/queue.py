"""The queue: wishes come in, workers claim jobs, jobs end. The only module that touches the inbox and the job table.

A job is an asset id with the tasks wanted for it; what they mean is not the queue's business.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

import asyncpg

from indexer.database import Connection, Pool, queries
from indexer.errors import RequestError
from indexer.jobs import Choice as Choice
from indexer.jobs import Job as Job
from indexer.jobs import Policy as Policy
from indexer.jobs import Priority as Priority

_SQL = queries("queue")
_REFRESHED = 20  # photos of one run of refreshed thumbnails that are read again
_QUIET = 600.0  # seconds without any after which a run has ended
_ONCE = 5.0  # seconds within which the same message counts once
LOOKS = 5  # in a lease, at the other workers: one that gives no sign of life between so many is dead


@dataclass(frozen=True)
class Counts:
    """The queue at a moment. `oldest_seconds` is the age of the oldest job that is not dead."""

    waiting: int
    retrying: int
    running: int
    dead: int
    inbox: int
    oldest_seconds: float | None


@dataclass(frozen=True)
class Failure:
    """A job that failed, and why; whose photo it is and what it is called, where that was asked for."""

    asset_id: UUID
    error: str
    failed_at: datetime
    attempts: int
    dead: bool
    owner: UUID | None = None
    file_name: str | None = None


@dataclass(frozen=True)
class Waiting:
    """Jobs that wait for something that is no photo's fault: why, how many, and since when."""

    reason: str
    photos: int
    since: datetime


@dataclass(frozen=True)
class Standing:
    """How things stand with a photo that has something to be done.

    `failed`: its last attempt failed, as `failure` says, and nothing but time has to pass until the next, if any.
    """

    state: Literal["waiting", "running", "failed"]
    failure: Failure | None


@dataclass(frozen=True)
class WorkerState:
    """A worker as the others see it."""

    name: str
    version: str
    device: str
    photos: int
    photos_per_minute: float
    deaf: bool
    seen_seconds: float


_ANY = Choice()


class Queue:
    """The queue as worker `worker` sees it."""

    def __init__(self, pool: Pool, worker: UUID, policy: Policy) -> None:
        self._pool = pool
        self.worker = worker
        self.policy = policy
        self._others: dict[UUID, tuple[datetime, int]] = {}  # when each was last seen, and for how many looks it was

    async def register(self, name: str, version: str, device: str) -> None:
        """Make this worker known; its lease starts."""
        await self._pool.execute(_SQL["register"], self.worker, name, version, device)

    async def unregister(self) -> None:
        """Forget this worker, which holds nothing any more."""
        await self._pool.execute(_SQL["unregister"], self.worker)

    async def beat(self, photos: int, photos_per_minute: float, deaf: bool) -> bool:
        """Renew the lease. False: the lease was lost, and the jobs with it; register again."""
        try:
            lives = await self._pool.fetchval(_SQL["beat"], self.worker, photos, photos_per_minute, deaf)
        except BaseException:
            self._others = {}  # perhaps nobody can give a sign of life now, as where the database is read-only
            raise
        return lives is not None

    async def reap(self) -> list[UUID]:
        """Take back the jobs of dead workers. Returns their assets. To be called `LOOKS` times in a lease.

        Looks count, and not the time that has passed: while the database does not answer, nobody can give a sign of
        life, and nobody can look either.
        """
        before, self._others = self._others, {}  # counted anew where this look comes to nothing
        seen = {row["id"]: row["seen_at"] for row in await self._pool.fetch(_SQL["others"], self.worker)}
        others = {
            worker: (at, before[worker][1] + 1 if worker in before and before[worker][0] == at else 0)
            for worker, at in seen.items()
        }
        dead = {worker: at for worker, (at, looks) in others.items() if looks >= LOOKS}
        rows = await self._pool.fetch(_SQL["reap"], list(dead), list(dead.values()), self.policy.max_attempts)
        self._others = others
        return [row["asset_id"] for row in rows]

    async def fold(self, limit: int = 10_000) -> int:
        """Merge up to `limit` wishes into the queue. Returns how many there were."""
        return int(await self._pool.fetchval(_SQL["fold"], limit, _REFRESHED, _QUIET))

    async def claim(self, limit: int, choice: Choice = _ANY) -> list[Job]:
        """Claim up to `limit` jobs; one by itself if a worker died of it."""
        wanting = sorted(choice.wanting) or None
        rows = await self._pool.fetch(
            _SQL["claim"], self.worker, limit, sorted(choice.without), choice.strictly, wanting
        )
        return _jobs(rows)

    async def claim_requests(self, limit: int, choice: Choice = _ANY) -> list[Job]:
        """Claim up to `limit` jobs that a person waits for, none that has to run alone."""
        return _jobs(
            await self._pool.fetch(_SQL["claim_requests"], self.worker, limit, sorted(choice.without), choice.strictly)
        )

    async def asked_meanwhile(self, assets: Sequence[UUID]) -> dict[UUID, int]:
        """Those of `assets`, which we hold, that a person asked for since we claimed them, each with its generation."""
        rows = await self._pool.fetch(_SQL["asked_meanwhile"], self.worker, assets)
        return {row["asset_id"]: row["generation"] for row in rows}

    async def promote(self, asked: Mapping[UUID, int]) -> list[Job]:
        """Claim those anew, with all that is wanted of them now. What came of the first claim must not be completed.

        One that was wished for once more since `asked_meanwhile` is left out.
        """
        return _jobs(await self._pool.fetch(_SQL["promote"], self.worker, list(asked), list(asked.values())))

    async def hold(self, connection: Connection, jobs: Iterable[Job]) -> set[UUID]:
        """Lock, in this transaction, those of `jobs` that are still ours: results may be written for these only."""
        rows = await connection.fetch(_SQL["hold"], self.worker, [job.asset_id for job in jobs])
        return {row["asset_id"] for row in rows}

    async def complete(self, connection: Connection | Pool, jobs: Sequence[Job]) -> None:
        """End `jobs`; those wished for again since they were claimed go back to the queue."""
        await connection.execute(
            _SQL["complete"], self.worker, [job.asset_id for job in jobs], [job.generation for job in jobs]
        )

    async def fail(
        self,
        job: Job,
        reason: str,
        *,
        done: Iterable[str] = (),
        left: Iterable[str] = (),
        connection: Connection | None = None,
    ) -> bool:
        """Record a failure of all tasks but `done`, and of those `left` besides, perhaps in a transaction.

        Returns whether the job was given up.
        """
        return bool(
            await (connection or self._pool).fetchval(
                _SQL["fail"],
                self.worker,
                job.asset_id,
                reason,
                self.policy.max_attempts,
                self.policy.pause(job.attempts),
                job.generation,
                job.attempts,
                list(done),
                list(left),
            )
        )

    async def release_all(self, but: Iterable[Job] = ()) -> int:
        """Give back, as if never claimed, whatever the database says we hold, except `but`. Returns how many."""
        rows = await self._pool.fetch(_SQL["release_all"], self.worker, [job.asset_id for job in but])
        return len(rows)

    async def put_back(
        self,
        job: Job,
        reason: str,
        pause: float,
        *,
        done: Iterable[str] = (),
        left: Iterable[str] = (),
        connection: Connection | None = None,
    ) -> None:
        """Give `job` back as if it had never been claimed: its tasks but `done`, and those `left` besides.

        Perhaps in a transaction. It waits for at least `pause` seconds, for a reason that is no fault of the photo's.
        """
        await (connection or self._pool).execute(
            _SQL["put_back"], self.worker, job.asset_id, reason, pause, list(done), job.attempts, list(left)
        )

    async def note(self, jobs: Iterable[Job], reason: str) -> None:
        """Say why `jobs`, which we hold, are not done yet, through no fault of the photos'."""
        await self._pool.execute(_SQL["note"], self.worker, [job.asset_id for job in jobs], reason)


def _jobs(rows: Iterable[asyncpg.Record]) -> list[Job]:
    return [
        Job(
            row["asset_id"],
            frozenset(row["tasks"]),
            row["priority"],
            row["generation"],
            row["attempts"],
            row["alone"],
        )
        for row in rows
    ]


async def wish(connection: Connection | Pool, assets: Sequence[UUID], tasks: Iterable[str], priority: Priority) -> None:
    """Ask for `tasks` on `assets`, durably; whoever listens is told."""
    await connection.execute(_SQL["wish"], assets, sorted(tasks), priority)


async def request(connection: Connection | Pool, assets: Sequence[UUID], tasks: Iterable[str] | None = None) -> int:
    """A person asks for `assets` again, durably; `tasks`: clip, ocr, or both (None). Returns how many will be read.

    A few go before everything else, many behind new uploads. Those that are not indexed are left out.

    Raises:
        RequestError: there is no such photo, or no such task.
    """
    with _refusal():
        return int(await connection.fetchval(_SQL["request"], assets, _sorted(tasks)))


async def hear(connection: Connection | Pool, message: str, asset: UUID, tasks: Iterable[str] | None) -> bool | None:
    """The same for one photo, of which a message told that other workers hear too.

    Returns whether the photo will be read again; None where another worker was first. Raises as `request`.
    """
    with _refusal():
        taken: bool | None = await connection.fetchval(_SQL["hear"], asset, _sorted(tasks), message, _ONCE)
        return taken


@contextlib.contextmanager
def _refusal() -> Iterator[None]:
    try:
        yield
    except asyncpg.InvalidParameterValueError as error:
        raise RequestError(str(error)) from None


def _sorted(tasks: Iterable[str] | None) -> list[str] | None:
    return None if tasks is None else sorted(tasks)


async def retry(connection: Connection | Pool, assets: Sequence[UUID] | None = None) -> list[UUID]:
    """Try again at once what was given up or waits for another try: all, or those of `assets`. Returns which."""
    rows = await connection.fetch(_SQL["retry"], assets)
    await connection.execute("SELECT pg_notify('immich_indexer', '')")
    return [row["asset_id"] for row in rows]


async def given_up(connection: Connection | Pool, assets: Sequence[UUID] | None = None) -> dict[UUID, str]:
    """What was given up, all or those of `assets`, and why."""
    return {row["asset_id"]: row["error"] or "" for row in await connection.fetch(_SQL["dead"], assets)}


async def waiting(connection: Connection | Pool, limit: int = 5, owner: UUID | None = None) -> list[Waiting]:
    """What is waited for that is no photo's fault, most photos first; owners as in `failures`."""
    return [Waiting(**dict(row)) for row in await connection.fetch(_SQL["waiting"], limit, owner)]


async def counts(connection: Connection | Pool, owner: UUID | None = None) -> Counts:
    """How much there is to do; for the photos of one owner that they are shown, or (None) for all."""
    row = await connection.fetchrow(*((_SQL["counts"],) if owner is None else (_SQL["counts_of"], owner)))
    assert row is not None  # noqa: S101 - an aggregate without GROUP BY always has a row
    return Counts(**dict(row))


async def failures(connection: Connection | Pool, limit: int = 50, owner: UUID | None = None) -> list[Failure]:
    """What failed, the given-up ones first, newest first; of the photos that one owner is shown, or (None) of all."""
    return [Failure(**dict(row)) for row in await connection.fetch(_SQL["failures"], limit, owner)]


async def workers(connection: Connection | Pool) -> list[WorkerState]:
    """Who is at work."""
    return [WorkerState(**dict(row)) for row in await connection.fetch(_SQL["workers"])]


async def pending(connection: Connection | Pool, assets: Sequence[UUID]) -> dict[UUID, Failure | None]:
    """Which of `assets` still have something to be done; a dead one with its failure."""
    rows = await connection.fetch(_SQL["pending"], assets)
    return {row["asset_id"]: Failure(**{**dict(row)}) if row["dead"] else None for row in rows}


async def standing(connection: Connection | Pool, asset: UUID) -> Standing | None:
    """How things stand with a photo; None: there is nothing to be done."""
    row = await connection.fetchrow(_SQL["standing"], asset)
    if row is None:
        return None
    failure = None
    if row["error"] is not None and (row["dead"] or row["attempts"] > 0):
        failure = Failure(asset, row["error"], row["failed_at"], row["attempts"], row["dead"])
    if row["running"]:
        return Standing("running", failure)
    if row["wished"] or failure is None:
        return Standing("waiting", failure)
    return Standing("failed", failure)
