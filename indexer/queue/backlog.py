"""What is in the queue: how much, what failed and why, what waits, and who is at work."""

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
class JobState:
    """How things stand with a photo that has something to be done.

    `failed`: its last attempt failed, as `failure` says, and nothing but time has to pass until the next, if any.
    """

    state: Literal["waiting", "running", "failed"]
    failure: Failure | None


@dataclass(frozen=True)
class EngineState:
    """How a model of a worker is, as it said last: `loading`, `ready`, `sick` or `waiting for weights`, and why."""

    state: str
    since: datetime
    reason: str
    next_try: datetime | None = None

    def sentence(self, part: str, worker: str, photos: int) -> str:
        """For a person: the engine that makes `part` for `worker`, and how many photos wait for it."""
        name = {"clip": "the CLIP model", "ocr": "the OCR engine"}.get(part, part)
        again = f", tried again at {self.next_try.astimezone():%H:%M:%S}" if self.next_try else ""
        waits = "1 photo waits" if photos == 1 else f"{photos} photos wait"
        since = f"{self.since.astimezone():%d %B %H:%M}"
        return f"{name} of {worker} is {self.state} since {since}{again}; {waits} for it: {self.reason}"


@dataclass(frozen=True)
class WorkerState:
    """A worker as the others see it; `engines` by what they make: clip, ocr."""

    name: str
    version: str
    device: str
    photos: int
    photos_per_minute: float
    polling: bool
    seen_seconds: float
    engines: dict[str, EngineState] = field(default_factory=dict)


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
    rows = await connection.fetch(_SQL["workers"])
    return [WorkerState(**{**dict(row), "engines": _engines(row["engines"])}) for row in rows]


async def wanting(connection: Connection | Pool) -> dict[str, int]:
    """How many photos each part is to be made of: clip, ocr."""
    row = await connection.fetchrow(_SQL["wanting"])
    return dict(row) if row else {}


def _engines(told: str) -> dict[str, EngineState]:
    """What a worker has told; another version of us may tell more, or other things."""
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
    """Which of `assets` still have something to be done; a dead one with its failure."""
    rows = await connection.fetch(_SQL["pending"], assets)
    return {row["asset_id"]: Failure(**{**dict(row)}) if row["dead"] else None for row in rows}


async def state(connection: Connection | Pool, asset: UUID) -> JobState | None:
    """How things stand with a photo; None: there is nothing to be done."""
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
