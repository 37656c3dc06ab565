"""The figures that `status` and the console show: of all photos, or of one user's."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from indexer.database import schema
from indexer.database.pool import Connection, Pool
from indexer.database.statements import queries
from indexer.immich import forgotten
from indexer.models.clip import names
from indexer.models.model_files import DownloadState
from indexer.photos import sets, width
from indexer.photos.sets import Progress, Sets
from indexer.queue import backlog
from indexer.queue.backlog import Counts, Failure, Waiting, WorkerState
from indexer.views import figures
from indexer.views.figures import (
    ChangeFigures,
    EngineFigures,
    FailedPhoto,
    Figures,
    ModelFigures,
    Reason,
    VectorFigures,
    WaitingFor,
    WeightsFigures,
    WorkerFigures,
)
from indexer.work import crashes, downloads

_NEWS = timedelta(days=1)  # so long a change of the model is told
_SQL = queries("status")


@dataclass(frozen=True)
class InUse:
    """The models in use, and how many dimensions the vectors have."""

    clip: str | None
    ocr: str | None
    dimensions: int | None


@dataclass(frozen=True)
class Change:
    """A change of the model: between which, how far it is, and at how many photos a minute it goes on."""

    current: str
    next: str
    progress: Progress
    photos_per_minute: float

    @property
    def eta_seconds(self) -> float | None:
        """Seconds until every photo has a vector of the next model. None while nothing moves."""
        if not self.progress.missing:
            return 0.0
        return self.progress.missing / self.photos_per_minute * 60 if self.photos_per_minute else None

    @property
    def sentence(self) -> str:
        """For people."""
        done = self.progress
        failed = f", {done.given_up} given up" if done.given_up else ""
        rest = "" if self.eta_seconds is None else f", {figures.duration(self.eta_seconds)} left"
        return (
            f"the model is being changed from {self.current} to {self.next}: {done.made} of {done.photos} photos "
            f"have a vector of the new one{failed}{rest}; until then searches use the old one"
        )


@dataclass(frozen=True)
class Status:
    """The state of the indexing: of the photos that `owner` is shown, or (None) of all.

    `failures` are photos that failed. `waiting` are photos that wait for something not caused by them. `weights` are
    weights that an indexer does not have yet. `photos_per_minute` and `queue` are about those photos. `workers`,
    `clip_model` (in use) and `advice` are the same for everybody. `change`: of the model, if one is under way.
    """

    owner: UUID | None
    schema_version: int
    vector_width: int
    vector_dimensions: int | None
    clip_model: str | None
    total: int
    indexed: int
    with_text: int
    queue: Counts
    workers: list[WorkerState]
    alive: int
    failures: list[Failure]
    waiting: list[Waiting]
    weights: list[DownloadState]
    models: list[dict[str, Any]]
    photos_per_minute: float
    advice: list[str]
    engines: list[EngineFigures]
    change: Change | None = None

    @property
    def left(self) -> int:
        """Photos that still need something, without those given up."""
        return self.queue.waiting + self.queue.retrying + self.queue.running + self.queue.inbox

    @property
    def eta_seconds(self) -> float | None:
        """Seconds until nothing is left, at the present rate. None while nothing moves or nothing has begun."""
        if not self.left:  # before the first run nothing is queued, and nothing read
            return 0.0 if self.indexed + self.queue.dead >= self.total else None
        return self.left / self.photos_per_minute * 60 if self.photos_per_minute else None

    @property
    def vector_advice(self) -> str | None:
        """What to do about the width of Immich's vector column. None where it fits, or before the first vector."""
        return None if self.vector_dimensions is None else width.advice(self.vector_width, self.vector_dimensions)

    def figures(self, viewer: UUID | None = None) -> Figures:
        """The figures for people. Those of one user say nothing about other users' photos. `viewer`: who asks."""
        whole = self.owner is None
        return Figures(
            scope="all" if whole else "own",
            total=self.total,
            indexed=self.indexed,
            with_text=self.with_text,
            waiting=self.queue.waiting + self.queue.inbox,
            running=self.queue.running,
            retrying=self.queue.retrying,
            failed=self.queue.dead,
            oldest_seconds=self.queue.oldest_seconds,
            photos_per_minute=round(self.photos_per_minute, 1),
            eta_seconds=None if self.eta_seconds is None else round(self.eta_seconds),
            models=[
                ModelFigures(clip_model=row["clip_model"], ocr_model=row["ocr_model"], photos=row["photos"])
                for row in self.models
            ],
            failures=[
                FailedPhoto(
                    asset_id=failure.asset_id,
                    file_name=failure.file_name,
                    own=failure.owner is not None and failure.owner == viewer,
                    **dict(reason(failure)),
                )
                for failure in self.failures
            ],
            waiting_for=[
                WaitingFor(reason=waiting.reason, photos=waiting.photos, since=waiting.since)
                for waiting in self.waiting
            ],
            weights=[
                WeightsFigures(
                    use=download.use,
                    model=download.model,
                    arrived=download.arrived,
                    size=download.size,
                    host=download.host,
                    reason=download.sentence,
                    next_try=download.next_try,
                )
                for download in self.weights
            ],
            demo_model=self.clip_model if names.is_demo(self.clip_model) else None,
            vector=VectorFigures(width=self.vector_width, dimensions=self.vector_dimensions, advice=self.vector_advice),
            workers_alive=self.alive,
            engines=self.engines,
            workers=[_worker(worker) for worker in self.workers] if whole else [],
            change=None
            if self.change is None
            else ChangeFigures(
                current=self.change.current,
                next=self.change.next,
                photos=self.change.progress.photos,
                made=self.change.progress.made,
                given_up=self.change.progress.given_up,
                eta_seconds=None if self.change.eta_seconds is None else round(self.change.eta_seconds),
            ),
            advice=self.advice,
            schema_version=self.schema_version,
        )


async def _change(connection: Connection, found: Sets, rate: float) -> Change | None:
    if found.current is None or found.next is None:
        return None
    return Change(found.current.name, found.next.name, await sets.progress(connection, found.next.name), rate)


def _changed(found: Sets) -> list[str]:
    """What Immich does not know of a change that was just done."""
    if found.current is None or found.previous is None or datetime.now(UTC) - found.current.since > _NEWS:
        return []
    since = f"{found.current.since.astimezone():%d %B, %H:%M}"
    return [
        f"{found.current.name} is the model in use since {since}. Restart Immich's server once: it remembers up to 100 "
        "recent searches by the model of before"
    ]


async def _away(connection: Connection, workers: list[WorkerState]) -> list[EngineFigures]:
    """The engines of `workers` that are not ready. Those sick for the longest time come first."""
    away = [
        (worker.name, name, engine)
        for worker in workers
        for name, engine in worker.engines.items()
        if engine.state != "ready"
    ]
    wanting = await backlog.wanting(connection) if away else {}
    found = [
        EngineFigures(engine=name, worker=worker, photos=wanting.get(name, 0), **asdict(engine))
        for worker, name, engine in away
    ]
    return sorted(found, key=lambda engine: engine.since)


def _worker(worker: WorkerState) -> WorkerFigures:
    told = asdict(worker)
    del told["engines"]
    return WorkerFigures(**told)


def reason(failure: Failure) -> Reason:
    """Why a photo failed, as people are told."""
    return Reason(error=failure.error, failed_at=failure.failed_at, attempts=failure.attempts, given_up=failure.dead)


async def in_use(connection: Connection | Pool) -> InUse | None:
    """The models in use: those of the photo read last. None where none was read yet."""
    row = await connection.fetchrow(_SQL["in_use"])
    return None if row is None else InUse(row["clip_model"], row["ocr_model"], row["dimensions"])


async def look(
    connection: Connection | Pool, *, owner: UUID | None = None, failures: int = 20, lease: float = 10
) -> Status:
    """The status now.

    Args:
        connection: to Immich's database.
        owner: whose photos; None: everybody's.
        failures: the most reasons to return.
        lease: seconds. An indexer not seen for so long counts as dead.

    Raises:
        SchemaError: we are not installed.
    """
    if isinstance(connection, Pool):
        async with connection.acquire() as one:
            return await look(one, owner=owner, failures=failures, lease=lease)
    version = await schema.require(connection)
    models = await in_use(connection) or InUse(None, None, None)
    made = await connection.fetch(_SQL["progress"], owner, models.clip, models.ocr)
    done = {name: sum(row[name] for row in made) for name in ("total", "indexed", "with_text", "last_minute")}
    workers = await backlog.workers(connection)
    alive = [worker for worker in workers if worker.seen_seconds <= lease]
    found = await sets.read(connection)
    changing = await _change(connection, found, sum(worker.photos_per_minute for worker in alive))
    told = [changing.sentence] if changing else _changed(found)
    rate = sum(worker.photos_per_minute for worker in alive) if owner is None else float(done["last_minute"])
    return Status(
        owner=owner,
        schema_version=version,
        vector_width=await schema.vector_width(connection),
        vector_dimensions=models.dimensions,
        clip_model=models.clip,
        total=done["total"],
        indexed=done["indexed"],
        with_text=done["with_text"],
        queue=await backlog.counts(connection, owner),
        workers=workers,
        alive=len(alive),
        failures=await backlog.failures(connection, failures, owner),
        waiting=await backlog.waiting(connection, owner=owner),
        weights=await downloads.told(connection),
        models=[dict(row) for row in made if row["photos"]],
        photos_per_minute=rate,
        engines=await _away(connection, alive),
        change=changing,
        advice=[*told, *await crashes.look(connection), *(await forgotten.look(connection)).advice]
        if owner is None
        else [],
    )
