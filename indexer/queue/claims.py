"""What a worker does with the queue: it claims jobs, keeps them with a heartbeat, and completes or releases them.

A job is the id of an asset and the tasks wanted for it. The queue does not know what the tasks mean.
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
_REFRESHED = 20  # of the photos whose thumbnails a person refreshes at once, how many are read again
_QUIET = 600.0  # seconds without a refreshed thumbnail, after which the next one begins a new series
LOOKS = 5  # checks of the other workers in a lease: one without a heartbeat during so many checks is dead

_ANY = Choice()


class Queue:
    """The queue, as used by one worker."""

    def __init__(self, pool: Pool, worker: UUID, policy: Policy) -> None:
        self._pool = pool
        self.worker = worker
        self.policy = policy
        self._others: dict[UUID, tuple[datetime, int]] = {}  # when each was last seen, and at how many checks since

    async def register(self, name: str, version: str, device: str) -> None:
        """Add this worker to the table of workers. Its lease starts."""
        await self._pool.execute(_SQL["register"], self.worker, name, version, device)
        await self._pool.execute(_SQL["forget_engines"])

    async def unregister(self) -> None:
        """Remove this worker, which holds no jobs any more."""
        await self._pool.execute(_SQL["unregister"], self.worker)
        await self._pool.execute(_SQL["forget_engines"])

    async def tell_engines(self, engines: str) -> None:
        """Store the state of this worker's engines, as JSON."""
        await self._pool.execute(_SQL["engines"], self.worker, engines)

    async def heartbeat(self, photos: int, photos_per_minute: float, polling: bool) -> bool:
        """Renew the lease. False: the lease was lost, and the jobs with it. Register again."""
        try:
            lives = await self._pool.fetchval(_SQL["heartbeat"], self.worker, photos, photos_per_minute, polling)
        except BaseException:
            self._others = {}  # perhaps no worker can send a heartbeat now, for example while the database is read-only
            raise
        return lives is not None

    async def reap(self, unproven: float | None = None) -> list[UUID]:
        """Take back the jobs of dead workers, and end their connections. Returns the assets of these jobs.

        Call it `LOOKS` times in a lease.

        What they read in the last `unproven` seconds before their last heartbeat is enqueued again.

        It counts checks, not the time that has passed: while the database does not answer, no worker can send a
        heartbeat, and no check can run either.
        """
        before, self._others = self._others, {}  # if this check fails, counting starts again
        seen = {row["id"]: row["seen_at"] for row in await self._pool.fetch(_SQL["others"], self.worker)}
        others = {
            worker: (at, before[worker][1] + 1 if worker in before and before[worker][0] == at else 0)
            for worker, at in seen.items()
        }
        dead = {worker: at for worker, (at, looks) in others.items() if looks >= LOOKS}
        policy, silent = self.policy, (list(dead), list(dead.values()))
        if dead:
            await self._pool.fetch(_SQL["disconnect"], *silent)
        rows = await self._pool.fetch(_SQL["reap"], *silent, policy.max_attempts, unproven, policy.lease_seconds)
        self._others = others
        return [row["asset_id"] for row in rows]

    async def drain(self, limit: int = 10_000) -> int:
        """Drain up to `limit` rows of the inbox into the queue. Returns how many."""
        return int(await self._pool.fetchval(_SQL["drain"], limit, _REFRESHED, _QUIET))

    async def claim(self, limit: int, choice: Choice = _ANY) -> list[Job]:
        """Claim up to `limit` jobs. A job that a worker died of is claimed alone."""
        wanting = sorted(choice.wanting) or None
        rows = await self._pool.fetch(
            _SQL["claim"], self.worker, limit, sorted(choice.without), choice.strictly, wanting
        )
        return _jobs(rows)

    async def claim_requests(self, limit: int, choice: Choice = _ANY) -> list[Job]:
        """Claim up to `limit` jobs that a person waits for, but none that has to run alone."""
        return _jobs(
            await self._pool.fetch(_SQL["claim_requests"], self.worker, limit, sorted(choice.without), choice.strictly)
        )

    async def asked_meanwhile(self, assets: Sequence[UUID]) -> dict[UUID, int]:
        """Those of `assets`, claimed by us, that a person has asked for since. Each with its generation."""
        rows = await self._pool.fetch(_SQL["asked_meanwhile"], self.worker, assets)
        return {row["asset_id"]: row["generation"] for row in rows}

    async def promote(self, asked: Mapping[UUID, int]) -> list[Job]:
        """Claim these again, with all the tasks that they have now. The results of the first claim must be dropped.

        A photo that was asked for once more since `asked_meanwhile` is left out.
        """
        return _jobs(await self._pool.fetch(_SQL["promote"], self.worker, list(asked), list(asked.values())))

    async def hold(self, connection: Connection, jobs: Iterable[Job]) -> set[UUID]:
        """Lock those of `jobs` that are still ours, in this transaction. Write results for these only."""
        rows = await connection.fetch(_SQL["hold"], self.worker, [job.asset_id for job in jobs])
        return {row["asset_id"] for row in rows}

    async def complete(self, connection: Connection | Pool, jobs: Sequence[Job]) -> None:
        """Complete `jobs`. Those that were asked for again since they were claimed go back to the queue."""
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
        """Record that all tasks but `done` failed, and those of `left` too. It may be inside a transaction.

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
        """Release all jobs that the database says are ours, except `but`. Returns how many."""
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
        """Release `job`, as if it had never been claimed: its tasks but `done`, and those of `left` too.

        It may be inside a transaction. The job then waits for at least `pause` seconds, for a reason not caused by the
        photo.
        """
        await (connection or self._pool).execute(
            _SQL["release"], self.worker, job.asset_id, reason, pause, list(done), job.attempts, list(left)
        )

    async def note(self, jobs: Iterable[Job], reason: str) -> None:
        """Store why `jobs`, claimed by us, are not done yet. The reason is not caused by the photos."""
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
