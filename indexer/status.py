"""The figures that `status`, and later the console, show."""

from dataclasses import asdict, dataclass
from typing import Any

import asyncpg

from indexer import forgotten, queue, reconcile, schema
from indexer.database import Connection, Pool
from indexer.queue import Counts, Failure, WorkerState


@dataclass(frozen=True)
class Status:
    """The state of the indexing as a whole."""

    schema_version: int
    vector_width: int
    total: int
    indexed: int
    with_text: int
    queue: Counts
    workers: list[WorkerState]
    failures: list[Failure]
    models: list[dict[str, Any]]
    photos_per_minute: float
    advice: list[str]

    @property
    def eta_seconds(self) -> float | None:
        """Seconds until the queue is empty at the present rate; None while nothing moves."""
        left = self.queue.waiting + self.queue.retrying + self.queue.running + self.queue.inbox
        if not left:
            return 0.0
        return left / self.photos_per_minute * 60 if self.photos_per_minute else None

    def as_json(self) -> dict[str, Any]:
        """Everything, as JSON's types."""
        plain = asdict(self) | {"eta_seconds": self.eta_seconds}
        for failure in plain["failures"]:
            failure["asset_id"] = str(failure["asset_id"])
            failure["failed_at"] = failure["failed_at"].isoformat()
        return plain


async def look(connection: Connection | Pool, *, failures: int = 20) -> Status:
    """The status now, with up to `failures` reasons.

    Raises:
        SchemaError: not installed.
    """
    if isinstance(connection, asyncpg.Pool):
        async with connection.acquire() as one:
            return await look(one, failures=failures)
    version = await schema.require(connection)
    made_with = await reconcile.models(connection)
    current = made_with[0] if made_with else None
    done = await reconcile.progress(
        connection, current["clip_model"] if current else None, current["ocr_model"] if current else None
    )
    workers = await queue.workers(connection)
    return Status(
        schema_version=version,
        vector_width=await schema.vector_width(connection),
        total=done["total"],
        indexed=done["indexed"],
        with_text=done["with_text"],
        queue=await queue.counts(connection),
        workers=workers,
        failures=await queue.failures(connection, failures),
        models=[dict(row) for row in made_with],
        photos_per_minute=sum(worker.photos_per_minute for worker in workers),
        advice=(await forgotten.look(connection)).advice,
    )
