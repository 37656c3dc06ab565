"""What is in the queue: how many jobs, which failed and why, what waits, and which workers run."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from indexer.database.pool import Connection, Pool
from indexer.database.statements import queries

_SQL = queries("queue")


@dataclass(frozen=True)
class Counts:
    """The queue at one moment. `oldest_seconds` is the age of the oldest job that is not dead."""

    waiting: int
    retrying: int
    running: int
    dead: int
    inbox: int
    oldest_seconds: float | None


@dataclass(frozen=True)
class Failure:
    """A job that failed, and why. With the photo's owner and file name, where the query asks for them."""

    asset_id: UUID
    error: str
    failed_at: datetime
    attempts: int
    dead: bool
    owner: UUID | None = None
    file_name: str | None = None


@dataclass(frozen=True)
class Waiting:
    """Jobs that wait for something that is not caused by the photo: why, how many, and since when."""

    reason: str
    photos: int
    since: datetime


@dataclass(frozen=True)
class JobState:
    """The state of a photo that has a job.

    `failed`: the last attempt failed, as `failure` says, and the next attempt, if any, only needs time to pass.
    """

    state: Literal["waiting", "running", "failed"]
    failure: Failure | None


@dataclass(frozen=True)
class EngineState:
    """What a worker last reported of a model: `loading`, `ready`, `sick`, `held` or `waiting for weights`, and why."""

    state: str
    since: datetime
    reason: str
    next_try: datetime | None = None

    def sentence(self, part: str, worker: str, photos: int) -> str:
        """A sentence for a person. `part`: what the engine makes. `photos`: how many photos wait for it."""
        name = {"clip": "the CLIP model", "ocr": "the OCR engine"}.get(part, part)
        again = f", tried again at {self.next_try.astimezone():%H:%M:%S}" if self.next_try else ""
        waits = "1 photo waits" if photos == 1 else f"{photos} photos wait"
        since = f"{self.since.astimezone():%d %B %H:%M}"
        return f"{name} of {worker} is {self.state} since {since}{again}; {waits} for it: {self.reason}"


@dataclass(frozen=True)
class WorkerState:
    """A worker as the queue knows it. `engines`: by what they make, clip or ocr."""

    name: str
    version: str
    device: str
    photos: int
    photos_per_minute: float
    polling: bool
    seen_seconds: float
    engines: dict[str, EngineState] = field(default_factory=dict)


async def given_up(connection: Connection | Pool, assets: Sequence[UUID] | None = None) -> dict[UUID, str]:
    """The jobs that were given up, all or those of `assets`, and why."""
    return {row["asset_id"]: row["error"] or "" for row in await connection.fetch(_SQL["dead"], assets)}


async def waiting(connection: Connection | Pool, limit: int = 5, owner: UUID | None = None) -> list[Waiting]:
    """Jobs that wait for something not caused by the photo, most photos first. `owner` as in `failures`."""
    return [Waiting(**dict(row)) for row in await connection.fetch(_SQL["waiting"], limit, owner)]


async def counts(connection: Connection | Pool, owner: UUID | None = None) -> Counts:
    """How much there is to do. `owner`: only for the photos that this user is shown. None: for all."""
    row = await connection.fetchrow(*((_SQL["counts"],) if owner is None else (_SQL["counts_of"], owner)))
    assert row is not None  # noqa: S101 - an aggregate without GROUP BY always has a row
    return Counts(**dict(row))


async def failures(connection: Connection | Pool, limit: int = 50, owner: UUID | None = None) -> list[Failure]:
    """Failed jobs: those given up first, then the newest. `owner`: only of photos this user is shown. None: of all."""
    return [Failure(**dict(row)) for row in await connection.fetch(_SQL["failures"], limit, owner)]


async def workers(connection: Connection | Pool) -> list[WorkerState]:
    """All workers."""
    rows = await connection.fetch(_SQL["workers"])
    return [WorkerState(**{**dict(row), "engines": _engines(row["engines"])}) for row in rows]


async def wanting(connection: Connection | Pool) -> dict[str, int]:
    """How many photos wait for each part: clip, ocr."""
    row = await connection.fetchrow(_SQL["wanting"])
    return dict(row) if row else {}


def _engines(told: str) -> dict[str, EngineState]:
    """What a worker reported, as JSON. A worker of another version may report other things."""
    found = {}
    for name, how in json.loads(told).items():
        try:
            found[name] = EngineState(
                how["state"],
                datetime.fromisoformat(how["since"]),
                how["reason"],
                datetime.fromisoformat(how["next_try"]) if "next_try" in how else None,
            )
        except (KeyError, TypeError, ValueError):
            continue
    return found


async def pending(connection: Connection | Pool, assets: Sequence[UUID]) -> dict[UUID, Failure | None]:
    """Those of `assets` that have a job. For a dead letter, its failure."""
    rows = await connection.fetch(_SQL["pending"], assets)
    return {row["asset_id"]: Failure(**{**dict(row)}) if row["dead"] else None for row in rows}


async def state(connection: Connection | Pool, asset: UUID) -> JobState | None:
    """The state of a photo's job. None: it has none."""
    row = await connection.fetchrow(_SQL["state"], asset)
    if row is None:
        return None
    failure = None
    if row["error"] is not None and (row["dead"] or row["attempts"] > 0):
        failure = Failure(asset, row["error"], row["failed_at"], row["attempts"], row["dead"])
    if row["running"]:
        return JobState("running", failure)
    if row["requested"] or failure is None:
        return JobState("waiting", failure)
    return JobState("failed", failure)
