"""Has Immich do what it forgot: it asks for faces once, and if nobody answered, never again.

Starting Immich's own "missing" jobs is enough, as soon as there is somebody to answer them. Whether there is need is
read from the database, so that it does not matter who was away, an upstream or the gateway itself.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Protocol

import structlog
from aiohttp import web

from indexer.errors import words_of
from indexer.immich.api import Immich, ImmichBusyError, ImmichError, Queue
from indexer.immich.forgotten import Forgotten

log = structlog.get_logger()

_LONGEST_PAUSE = 24 * 3600.0


@dataclass
class _Job:
    """One of Immich's jobs: when it may be started again, and what that helped."""

    pause: float
    not_before: float = 0
    left: int = 0  # photos when it was last started; 0: not yet
    trouble: str = ""


class Answering(Protocol):
    """Whoever answers for faces; `gateway.ml.forward.Forwarder` is one. `came_back` is set when they do so again."""

    came_back: asyncio.Event

    @property
    def well(self) -> bool:
        """Whether they would now."""


class Recovery:
    """Looks after every recovery of who answers for faces, and now and then, and starts what is needed.

    Args:
        look: what is forgotten, of photos ready for longer than the time given; may raise while the database is away.
        immich: to start its jobs; None: without a key there is only advice.
        faces: who answers for them; None: always somebody does.
        interval: least seconds between two starts of a job. One that brings nothing is started ever more rarely.
        settle: seconds after a recovery until the answers under way have reached the database.
        look_again: seconds between two looks, and until Immich is asked again that could not start a job.
    """

    def __init__(
        self,
        look: Callable[[timedelta], Awaitable[Forgotten]],
        immich: Immich | None,
        faces: Answering | None,
        *,
        interval: float = 3600,
        settle: float = 60,
        look_again: float = 300,
    ) -> None:
        self.forgotten = Forgotten()
        self._look = look
        self._immich = immich
        self._faces = faces
        self._interval = interval
        self._settle = settle
        self._pause = min(interval, look_again)
        self._jobs: dict[Queue, _Job] = {"faceDetection": _Job(interval), "duplicateDetection": _Job(interval)}

    async def run(self) -> None:
        """Go on for ever."""
        while True:
            await asyncio.sleep(self._settle)
            await self._round()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause):
                    await self._recovered()

    async def running(self, _app: web.Application) -> AsyncIterator[None]:
        """To go along with an application, in its `cleanup_ctx`."""
        task = asyncio.create_task(self.run())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def state(self) -> dict[str, Any]:
        """For `health`: what is forgotten, what to press where we may not, and why a job was not started."""
        troubles = [job.trouble for job in self._jobs.values() if job.trouble]
        by_hand = self._immich is None or troubles
        return asdict(self.forgotten) | {"advice": self.forgotten.advice if by_hand else [], "trouble": troubles}

    async def _recovered(self) -> None:
        if self._faces is None:
            await asyncio.Event().wait()
        else:
            await self._faces.came_back.wait()
            self._faces.came_back.clear()

    async def _round(self) -> None:
        try:
            self.forgotten = await self._look(timedelta(seconds=self._settle))
        except Exception as error:  # whatever a database raises
            log.debug("cannot see what Immich forgot", reason=words_of(error))
            return
        if self._faces is None or self._faces.well:
            await self._start_if_due("faceDetection", self.forgotten.faces)
        await self._start_if_due("duplicateDetection", self.forgotten.duplicates)

    async def _start_if_due(self, queue: Queue, photos: int) -> None:
        job, now = self._jobs[queue], asyncio.get_running_loop().time()
        if not photos:
            job.trouble, job.left, job.pause = "", 0, self._interval
            return
        if self._immich is None or now < job.not_before:
            return
        try:
            await self._immich.start_missing(queue)
        except ImmichError as error:
            busy = isinstance(error, ImmichBusyError)  # what it is at may well be these photos
            job.trouble = "" if busy else str(error)
            (log.debug if busy else log.warning)(
                "cannot start Immich's job", job=queue, photos=photos, reason=str(error)
            )
            return
        log.info("started Immich's job for what it forgot", job=queue, photos=photos)
        helped = not job.left or photos < job.left
        job.pause = self._interval if helped else min(2 * job.pause, _LONGEST_PAUSE)
        job.not_before, job.left, job.trouble = now + job.pause, photos, ""
