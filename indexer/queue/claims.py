"""What a worker does with the queue: it claims jobs, keeps them by a heartbeat, and ends them.

A job is an asset id with the tasks wanted for it; what they mean is not the queue's business.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from indexer.database.pool import Connection, Pool
from indexer.database.statements import queries
from indexer.queue.jobs import Choice, Job
from indexer.queue.retries import Policy

_SQL = queries("queue")
_REFRESHED = 20  # photos of one run of refreshed thumbnails that are read again
_QUIET = 600.0  # seconds without any after which a run has ended
LOOKS = 5  # in a lease, at the other workers: one that gives no sign of life between so many is dead

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
        await self._pool.execute(_SQL["forget_engines"])

    async def unregister(self) -> None:
        """Forget this worker, which holds nothing any more."""
        await self._pool.execute(_SQL["unregister"], self.worker)
        await self._pool.execute(_SQL["forget_engines"])

    async def tell_engines(self, engines: str) -> None:
        """Write down how this worker's engines are, as JSON."""
        await self._pool.execute(_SQL["engines"], self.worker, engines)

    async def heartbeat(self, photos: int, photos_per_minute: float, polling: bool) -> bool:
        """Renew the lease. False: the lease was lost, and the jobs with it; register again."""
        try:
            lives = await self._pool.fetchval(_SQL["heartbeat"], self.worker, photos, photos_per_minute, polling)
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

    async def drain(self, limit: int = 10_000) -> int:
        """Merge up to `limit` requests into the queue. Returns how many there were."""
        return int(await self._pool.fetchval(_SQL["drain"], limit, _REFRESHED, _QUIET))

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

        One that was asked for once more since `asked_meanwhile` is left out.
        """
        return _jobs(await self._pool.fetch(_SQL["promote"], self.worker, list(asked), list(asked.values())))

    async def hold(self, connection: Connection, jobs: Iterable[Job]) -> set[UUID]:
        """Lock, in this transaction, those of `jobs` that are still ours: results may be written for these only."""
        rows = await connection.fetch(_SQL["hold"], self.worker, [job.asset_id for job in jobs])
        return {row["asset_id"] for row in rows}

    async def complete(self, connection: Connection | Pool, jobs: Sequence[Job]) -> None:
        """End `jobs`; those asked for again since they were claimed go back to the queue."""
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

    async def release(
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
            _SQL["release"], self.worker, job.asset_id, reason, pause, list(done), job.attempts, list(left)
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
