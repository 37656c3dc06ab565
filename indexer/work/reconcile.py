"""Finds photos of which no event told, and puts them right: at the start, every few minutes, and when asked.

It compares what Immich's tables hold with what they should hold. So they become right again after a crash, a restored
backup, a change of model, an import while our triggers were missing, and after Immich has emptied its vectors.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NoReturn, TypeVar
from uuid import UUID

import structlog
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from indexer.database import rights, schema
from indexer.database.backoff import Backoff
from indexer.database.pool import INSTALLING, Connection, Pool, connect, connect_to_immich, hang_up, within
from indexer.database.statements import queries
from indexer.database.trouble import TROUBLE, explain
from indexer.errors import IndexerError
from indexer.photos import facts, lexical, pinyin, results, sets, trials
from indexer.queue import tags
from indexer.text import tokens
from indexer.work import clip_index, verdicts
from indexer.work import facts as fact_keeper
from indexer.work.pace import USUAL, WorkerPace

log = structlog.get_logger()

PAGE = 5_000  # ids that one statement looks at
_CHUNK = 32  # photos put right in one transaction: Immich waits for our locks
_THOROUGH_EVERY = 12  # rounds between two that compare the vectors of all photos
_ADVISORY = 0x1DE8E6  # the advisory lock of the one indexer that reconciles
_START = UUID(int=0)
_EVER = datetime(2000, 1, 1, tzinfo=UTC)
_RECENT = timedelta(minutes=30)  # Immich's own jobs for an upload take much less
_SQL = queries("reconcile")
T = TypeVar("T")


@dataclass
class Repairs:
    """What one round did: photos queued, restored from our own copy, forgotten, and photos that got other facts."""

    queued: int = 0
    restored: int = 0
    forgotten: int = 0
    facts: int = 0

    def __bool__(self) -> bool:
        return any(vars(self).values())


@dataclass(frozen=True)
class Foreign:
    """How many photos have a vector of another model: queued, given up, or missed (`backfill` queues these)."""

    missed: int
    queued: int
    given_up: int


class Reconciler:
    """Finds and repairs what is missing or wrong.

    Args:
        pool: connections to the database.
        dsn: the database. The lock, and a repair of the schema, need connections of their own.
        clip_model: name of the CLIP model in use, None where the task is off; `ocr_model` likewise.
        alphabet: the characters that the OCR model knows, None where it knows all.
        pace: how often to send a heartbeat.
        next_model: name of the CLIP model that is becoming the current one, if this indexer reads with it.
        every: seconds between two rounds of `run`.
    """

    def __init__(
        self,
        pool: Pool,
        dsn: str,
        clip_model: str | None,
        ocr_model: str | None,
        alphabet: frozenset[str] | None = None,
        pace: WorkerPace = USUAL,
        next_model: str | None = None,
        *,
        every: float = 300,
    ) -> None:
        self._pool = pool
        self._dsn = dsn
        self._models = (clip_model, ocr_model, next_model)
        self._alphabet = alphabet
        self._pace = pace
        self._every = every

    async def run(self, came_back: asyncio.Event, looked: asyncio.Event) -> NoReturn:
        """Run a round every so many seconds, without end. `looked` is set after the first, also after one that failed.

        `came_back`: set when the listener's connection was cut and is back.
        """
        rounds, said = 0, ""
        backoff = Backoff(min(self._every, self._pace.reconcile_again))
        while True:
            pause, file = self._every, None
            came_back.clear()
            try:
                file = await self.vectors_file()  # before the round: what changes during it may be missed
                if await self.round(thorough=rounds % _THOROUGH_EVERY == 0) is not None:
                    rounds += 1
                backoff.after(None)
                said = ""
            except (*TROUBLE, IndexerError) as error:
                if explain(error) != said:  # the same line is not logged again and again
                    said = explain(error)
                    log.warning("cannot reconcile", error=said)
                pause = backoff.after(error)
            looked.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._reason_to_look(came_back, file)

    async def round(self, *, thorough: bool) -> Repairs | None:
        """Run one round. None: another indexer is reconciling. `thorough` compares all vectors, not only recent ones.

        Raises:
            TimeoutError: the database did not answer, or not over this connection.
        """
        mended = await self._mend_schema()
        async with self._turn() as ours:
            return await self._compare(thorough=thorough, missed=mended) if ours else None

    async def vectors_file(self) -> int | None:
        """The number of the file with Immich's vectors. It changes when Immich empties them, and queues nothing."""
        number: int | None = await self._pool.fetchval(_SQL["vectors_file"])
        return number

    async def _reason_to_look(self, came_back: asyncio.Event, file: int | None) -> None:
        """Return when there is a reason to reconcile before the next round is due.

        The listener's connection was cut: perhaps somebody restored a backup, and our triggers are gone. Or Immich has
        emptied its vectors, as it does when its CLIP model is changed. A trigger that tells of that would block it.
        """
        while not came_back.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pace.vectors):
                    await came_back.wait()
            with contextlib.suppress(*TROUBLE, IndexerError):
                if await self.vectors_file() != file:
                    return

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[bool]:
        """Whether this indexer may reconcile. It may until the block ends, or its heartbeat stops."""
        guard = await connect(self._dsn)
        beating = None
        try:
            patience, lost = self._pool.patience, round(1000 * self._pace.turn_lost)
            await within(patience, guard.execute(f"SET idle_session_timeout = {lost}"))
            ours = bool(await within(patience, guard.fetchval("SELECT pg_try_advisory_lock($1)", _ADVISORY)))
            if ours:
                beating = asyncio.create_task(_beat(guard, self._pace.turn_beat))
            yield ours
        finally:
            if beating is not None:
                beating.cancel()
            await hang_up(guard)  # also where this is cancelled, which only aborts the connection

    async def _mend_schema(self) -> bool:
        """Install our schema again where it is not whole. When Immich restores a backup, our triggers are lost.

        Returns whether it was not whole, so that events were missed.
        """
        if await self._pool.run(schema.is_current):
            await self._pool.run(rights.require)
            return False
        log.warning("our schema or triggers are not as they should be (a restored backup?): installing")
        own = await connect_to_immich(self._dsn)
        try:
            change = await within(INSTALLING, schema.install(own))
        finally:
            await hang_up(own)
        log.info("installed", migrations=change.migrations, triggers=change.triggers, done=change.done)
        return True

    async def _compare(self, *, thorough: bool, missed: bool) -> Repairs:
        found = Repairs()
        found.forgotten = int((await self._pool.execute(_SQL["orphans"])).split()[-1])
        await self._tidy()
        width = await self._pool.run(schema.vector_width)
        found.restored += await self._heal("undone", tokens.VERSION, lexical.VERSION, width)
        since = _EVER if thorough else datetime.now(UTC) - _RECENT
        found.restored += await self._heal("altered", width, since)
        found.queued = await self.enqueue_missing() + await tags.catch_up(self._pool)
        found.facts = await self._refresh_facts(thorough=thorough or missed)
        await pinyin.rebuild(self._pool)
        if found:
            log.info("reconciled", **vars(found))
        return found

    async def _tidy(self) -> None:
        """End a change that no indexer works on, drop old models, and make an index again that was left out."""
        if resting := await self._pool.run(sets.rest):
            log.warning(
                "no indexer reads with the model any more that was becoming the current one", model=resting.name
            )
        if old := await self._pool.run(sets.forget_old):
            log.info("dropped models that were not used for long", models=old, days=sets.KEPT_DAYS)
        await trials.forget_gone(self._pool)
        await clip_index.restore(self._dsn)

    async def enqueue_missing(self) -> int:
        """Queue each photo that has no results of the models in use. Returns how many."""
        last, queued = _START, 0
        while True:
            row = await self._pool.fetchrow(_SQL["missing"], last, PAGE, *self._models)
            if row is None or row["last"] is None:
                break
            last = row["last"]
            queued += row["found"]
            if row["found"]:
                await self._pool.execute("SELECT pg_notify('immich_indexer', '')")
        return queued

    async def _refresh_facts(self, *, thorough: bool) -> int:
        """Write the facts of photos that have none or, if `thorough`, others than Immich's tables say."""
        last: UUID | None = _START
        refreshed = 0
        while last is not None:
            last, assets = await facts.stale(self._pool, last, PAGE, thorough=thorough)
            for start in range(0, len(assets), _CHUNK):
                refreshed += await self._insist(
                    partial(fact_keeper.refresh, self._pool, assets[start : start + _CHUNK])
                )
        return refreshed

    async def _heal(self, query: str, *arguments: Any) -> int:
        """Make Immich's columns follow our table for the photos that `query` names, page by page."""
        last, healed = _START, 0
        while True:
            row = await self._pool.fetchrow(_SQL[query], last, PAGE, *arguments)
            if row is None or row["last"] is None:
                return healed
            last = row["last"]
            for start in range(0, len(row["assets"]), _CHUNK):
                assets = row["assets"][start : start + _CHUNK]
                healed += await self._insist(partial(results.restore, self._pool, assets, self._alphabet))

    async def _insist(self, work: Callable[[], Coroutine[Any, Any, int]]) -> int:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(verdicts.passes),
            wait=wait_random_exponential(multiplier=0.1, max=2),
            stop=stop_after_attempt(6),
            reraise=True,
        ):
            with attempt:
                return await work()
        return 0


async def _beat(guard: Connection, interval: float) -> None:
    """Send a statement every `interval` seconds, until the session ends: the server closes it when it is idle."""
    with contextlib.suppress(*TROUBLE):
        while True:
            await asyncio.sleep(interval)
            await guard.execute("SELECT 1")


async def foreign_vectors(connection: Connection | Pool) -> Foreign:
    """How many eligible photos have a vector in Immich's column that we did not write."""
    row = await connection.fetchrow(_SQL["foreign_vectors"])
    assert row is not None  # noqa: S101 - it counts
    return Foreign(**row)
