"""Starts Immich's own jobs for work that Immich does not repeat: it asks for faces once, even if nobody answered.

Immich's "missing" jobs are enough, as soon as a server can answer them. The database shows whether there is such work.
So it does not matter what was down, an upstream server or the gateway itself.
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
    """One of Immich's jobs: when it may be started again, and whether that helped."""

    pause: float
    not_before: float = 0
    left: int = 0  # missing photos when it was last started, 0: not started yet
    trouble: str = ""


class Answering(Protocol):
    """What answers for faces, such as `gateway.ml.forward.Forwarder`. `came_back` is set when it works again."""

    came_back: asyncio.Event

    @property
    def well(self) -> bool:
        """Whether a request would be answered now."""


class Recovery:
    """Checks for missing work, from time to time and when faces are answered again, and starts the jobs needed.

    Args:
        look: returns what is missing, of photos ready for longer than the time given. May raise without database.
        immich: to start its jobs. None: without a key there is only advice.
        faces: what answers for them. None: something always does.
        interval: least seconds between two starts of a job. The pause grows while starting it does not help.
        settle: seconds after faces are answered again, until running answers have been stored.
        look_again: seconds between two checks, and until Immich is asked again after it could not start a job.
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
        """Check without end."""
        while True:
            await asyncio.sleep(self._settle)
            await self._round()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause):
                    await self._recovered()

    async def running(self, _app: web.Application) -> AsyncIterator[None]:
        """A context of the application, for its `cleanup_ctx`."""
        task = asyncio.create_task(self.run())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def state(self) -> dict[str, Any]:
        """For `health`: what is missing, what to press in Immich without a key, and why a job was not started."""
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
        except Exception as error:  # any error of the database
            log.debug("cannot check for work that Immich misses", reason=words_of(error))
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
            busy = isinstance(error, ImmichBusyError)  # it may be working on these very photos
            job.trouble = "" if busy else str(error)
            (log.debug if busy else log.warning)(
                "cannot start Immich's job", job=queue, photos=photos, reason=str(error)
            )
            return
        log.info("started Immich's job for missing photos", job=queue, photos=photos)
        helped = not job.left or photos < job.left
        job.pause = self._interval if helped else min(2 * job.pause, _LONGEST_PAUSE)
        job.not_before, job.left, job.trouble = now + job.pause, photos, ""
