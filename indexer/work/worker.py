"""The service: all tasks that run side by side while photos are indexed. They start and stop together."""

import asyncio
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn
from uuid import uuid4

import structlog
from tenacity import AsyncRetrying, retry_if_exception, wait_random_exponential

import indexer
from indexer.database import schema
from indexer.database.backoff import Backoff
from indexer.database.pool import INSTALLING, NAME, PATIENCE, Pool, connect_to_immich, hang_up, open_pool, within
from indexer.database.trouble import TROUBLE, explain
from indexer.errors import IndexerError
from indexer.immich.api import Immich
from indexer.models.engines.hosted import alphabet_of, name_of
from indexer.models.fetcher import Fetcher
from indexer.models.inference import ClipModel
from indexer.models.load import Models as Models
from indexer.models.load import load_models as load_models
from indexer.models.load import start_inference
from indexer.outage import Outage
from indexer.queue import requests
from indexer.queue.claims import LOOKS, Queue
from indexer.queue.listener import Listener
from indexer.queue.retries import Policy
from indexer.queue.tags import Untagger
from indexer.settings import Settings
from indexer.threads import Executor
from indexer.work import downloads, facts, int8_watch, mistakes, verdicts, width_watch
from indexer.work.engine_watch import EngineWatch, OtherModelsError
from indexer.work.engines import Doubted
from indexer.work.lineup import Lineup
from indexer.work.media import Media
from indexer.work.pace import USUAL, WorkerPace
from indexer.work.pipeline import Pipeline
from indexer.work.reconcile import Reconciler
from indexer.work.writer import WRITERS

log = structlog.get_logger()

_TROUBLE = (*TROUBLE, IndexerError)


class SilenceError(IndexerError):
    """The database no longer answers over the connections that we have. New connections may work."""


async def serve(
    settings: Settings,
    models: Models,
    fetcher: Fetcher | None = None,
    *,
    pace: WorkerPace = USUAL,
    open_clip: Callable[[str], ClipModel] | None = None,
) -> None:
    """Index until SIGTERM or SIGINT, or until the worker raises an error. Closes `models`."""
    asyncio.get_running_loop().set_default_executor(Executor())
    worker = Worker(settings, models, fetcher, pace, open_clip)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, worker.stop)
    try:
        await worker.run()
    finally:
        models.close()


def leave(status: int) -> NoReturn:
    """End this process at once. Python itself would wait for threads in a model call, which cannot be interrupted."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


class Worker:
    """One indexer process. `run` returns after `stop`, or raises an error after which it cannot go on.

    Args:
        settings: of this process.
        models: they work, or wait for their weights.
        fetcher: downloads the weights while `run` runs. None: nothing is downloaded.
        pace: how often to look, and how long to wait.
        open_clip: starts the CLIP model that another value of CLIP_MODEL names.

    Attributes:
        looked: set after the first try to reconcile: photos from before the start are enqueued.
    """

    def __init__(
        self,
        settings: Settings,
        models: Models,
        fetcher: Fetcher | None = None,
        pace: WorkerPace = USUAL,
        open_clip: Callable[[str], ClipModel] | None = None,
    ) -> None:
        self.looked = asyncio.Event()
        self._settings = settings
        self._writers = min(WRITERS, settings.threads)
        self._lineup = Lineup(settings, models, pace, open_clip)
        self._fetcher = fetcher or Fetcher()
        self._pace = pace
        self._id = uuid4()
        self._stop = asyncio.Event()
        url, key = settings.immich_url, settings.immich_api_key
        self._immich = Immich(url, key.get_secret_value()) if url and key else None
        self._outage = Outage("the database", soon=self._pace.outage)
        self.listener = Listener(settings.dsn, patience_seconds=pace.listener)
        self.pipeline: Pipeline | None = None
        self._doubted: list[Doubted] = []  # that the last pipeline left
        self._done: deque[tuple[float, int]] = deque()  # (time, photos finished by then) over the last minute

    def stop(self) -> None:
        """Have `run` finish the jobs under way, release the others, and return, within 10 seconds."""
        self._stop.set()

    async def run(self) -> None:
        """Index until stopped.

        Raises:
            SchemaError: this database cannot be used. The text says what to do.
        """
        stopped = asyncio.create_task(self._stop.wait())
        fetching = asyncio.create_task(self._fetcher.run(), name="weights")  # needs no database
        try:
            while (pool := await self._until_stopped(self._open(), stopped)) is not None:
                try:
                    await self._serve(pool)
                    return
                except SilenceError as error:
                    log.warning("connecting again", error=str(error))
                except OtherModelsError as error:
                    log.info("starting again", reason=str(error))
                finally:
                    pool.terminate()
        finally:
            stopped.cancel()
            fetching.cancel()
            self._lineup.close()
            if self._immich is not None:
                await self._immich.close()

    @staticmethod
    async def _until_stopped(work: Coroutine[Any, Any, Pool], stopped: "asyncio.Task[bool]") -> Pool | None:
        task = asyncio.ensure_future(work)
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            return None
        return task.result()

    async def _open(self) -> Pool:
        """Wait for the database, which may still be starting, and install our schema."""
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(verdicts.passes),
            wait=wait_random_exponential(multiplier=0.3, max=10),
            before_sleep=lambda state: self._outage.goes_on(
                "opening", explain((state.outcome and state.outcome.exception()) or OSError())
            ),
        ):
            with attempt:
                pool = await self._try_to_open()
        self._outage.ends("opening")
        return pool

    async def _try_to_open(self) -> Pool:
        connection = await connect_to_immich(self._settings.dsn)
        try:
            change = await within(INSTALLING, schema.install(connection))
            for model in self._models.clips:
                width_watch.fit(model, await within(PATIENCE, schema.vector_width(connection)))
        finally:
            await hang_up(connection)
        if change:
            log.info("installed", migrations=change.migrations, triggers=change.triggers, done=change.done)
        for note in change.notes:
            log.info("note", note=note)
        pool = await open_pool(self._settings.dsn, size=3 + self._writers, durable=False, name=f"{NAME} {self._id}")
        try:
            await self._register(self._queue(pool))
            await self._lineup.join(pool, self._id)
            if photos := await mistakes.undo(pool):
                log.info("trying photos again that an earlier version gave up by mistake", photos=photos)
        except BaseException:
            pool.terminate()
            raise
        return pool

    async def _serve(self, pool: Pool) -> None:
        settings, models = self._settings, self._models
        queue = self._queue(pool)
        engines = EngineWatch(queue, models)
        changes = [
            asyncio.create_task(engines.run(), name="engines"),
            asyncio.create_task(self._lineup.run(pool), name="lineup"),
        ]
        inference, drained = start_inference(settings, models), asyncio.Event()
        pipeline = self.pipeline = Pipeline(
            pool.patient(self._patience),
            queue,
            inference,
            Media.of(settings),
            batch=settings.batch_size or (64 if models.where == "cuda" else 8),
            writers=self._writers,
            outage=self._outage,
            pace=self._pace,
            doubted=self._doubted,
            drained=drained.set,
        )
        self._done.clear()
        reconciler = self._reconciler(pool, engines)
        clip, ocr = engines.names
        log.info("indexing", clip=clip, ocr=ocr, device=models.where, threads=settings.threads)
        beating = asyncio.create_task(self._beat(queue), name="heartbeat")
        side = [
            beating,
            *changes,
            asyncio.create_task(self.listener.run(), name="listener"),
            asyncio.create_task(self._reap(queue), name="reaper"),
            asyncio.create_task(reconciler.run(self.listener.came_back, self.looked), name="reconciler"),
            asyncio.create_task(
                facts.keep(pool.patient(self._patience), drained, self._outage, self._pace), name="facts"
            ),
            asyncio.create_task(requests.take_in(pool, self.listener.messages), name="requests"),
            asyncio.create_task(downloads.tell(pool, self._id, self._fetcher, self._pace.downloads), name="downloads"),
        ]
        for model in models.clips:
            side.append(asyncio.create_task(width_watch.watch(pool, model, self._pace.vectors), name="width"))
        int8 = int8_watch.watch(settings, pool, models.clip, models.ocr, self._pace.int8)
        side.append(asyncio.create_task(int8, name="int8"))
        if self._immich is not None:
            side.append(asyncio.create_task(Untagger(pool, self._immich).run(self._pace.untag), name="untagger"))
        work = asyncio.create_task(pipeline.run(self.listener.notified, self._idle), name="pipeline")
        stop = asyncio.create_task(self._stop.wait(), name="stop")
        # Where one task ends, all are stopped: a new start is better than an indexer of which a part does not work.
        await asyncio.wait([*side, work, stop], return_when=asyncio.FIRST_COMPLETED)
        try:
            if stop.done():
                log.info("stopping")
            await pipeline.stop(self._pace.grace if stop.done() or any(task.done() for task in changes) else 0)
            if not _is_silent(beating):  # else `run` goes on under this id, which a late answer would unregister
                beating.cancel()  # first: the heartbeat would see that the lease is lost, and register again
                await asyncio.wait({beating}, timeout=1)
                await within(1, queue.unregister())
        except _TROUBLE as error:
            log.warning("cannot unregister: the lease ends by itself", error=explain(error))
        finally:
            self._doubted = pipeline.doubted
            for task in (*side, work, stop):
                task.cancel()
            ended, _ = await asyncio.wait({*side, work}, timeout=1)
        for task in ended:
            if not task.cancelled():
                task.result()  # raises the error that ended it
        log.info("stopped", photos=pipeline.photos)

    @property
    def _models(self) -> Models:
        return self._lineup.models

    def _queue(self, pool: Pool) -> Queue:
        settings = self._settings
        policy = Policy(settings.max_attempts, settings.retry_seconds, settings.lease_seconds)
        return Queue(pool.patient(self._patience), self._id, policy)

    @property
    def _patience(self) -> float:
        return max(self._pace.patience, 3 * self._settings.lease_seconds)

    def _reconciler(self, pool: Pool, engines: EngineWatch) -> Reconciler:
        settings, models = self._settings, self._models
        return Reconciler(
            pool,
            settings.dsn,
            *engines.names,
            alphabet_of(models.ocr),
            self._pace,
            name_of(models.next),
            every=settings.reconcile_seconds,
        )

    def _idle(self) -> float:
        return self._settings.poll_seconds if self.listener.polling else self._pace.idle

    async def _register(self, queue: Queue) -> None:
        name = f"{socket.gethostname()}:{os.getpid()}"
        await within(self._settings.lease_seconds, queue.register(name, indexer.__version__, self._models.where))

    async def _beat(self, queue: Queue) -> None:
        """Renew the lease, so often that one lost heartbeat does not end it.

        Raises:
            SilenceError: a heartbeat was not answered for as long as a lease lasts.
        """
        loop, backoff = asyncio.get_running_loop(), Backoff(self._settings.lease_seconds / 5)
        while True:
            trouble: Exception | None = None
            photos = self.pipeline.photos if self.pipeline else 0
            self._done.append((loop.time(), photos))
            while self._done[0][0] < loop.time() - 60:
                self._done.popleft()
            since, before = self._done[0]
            minutes = max(loop.time() - since, 1) / 60
            try:
                beat = queue.heartbeat(photos, (photos - before) / minutes, self.listener.polling)
                if not await within(self._settings.lease_seconds, beat):
                    log.warning("the lease was lost: others took over our photos")
                    await self._register(queue)
                    self.listener.notified.set()  # without a lease nothing could be claimed
                self._outage.ends("heartbeat")
            except TimeoutError:
                raise SilenceError("the database did not answer for as long as a lease lasts") from None
            except _TROUBLE as error:
                self._outage.goes_on("heartbeat", explain(error))
                trouble = error
            await asyncio.sleep(backoff.after(trouble))

    async def _reap(self, queue: Queue) -> None:
        """Take over the jobs of workers that died."""
        backoff = Backoff(queue.policy.lease_seconds / LOOKS)
        while True:
            trouble: Exception | None = None
            try:
                reaped = await queue.reap(self._pace.unproven)
                if reaped:
                    log.warning("took over from a dead indexer", photos=len(reaped))
                    self.listener.notified.set()
            except _TROUBLE as error:
                log.debug("cannot look for dead indexers", error=explain(error))
                trouble = error
            await asyncio.sleep(backoff.after(trouble))


def _is_silent(beating: "asyncio.Task[None]") -> bool:
    """Whether the heartbeat ended because the database does not answer."""
    return beating.done() and not beating.cancelled() and isinstance(beating.exception(), SilenceError)
