"""Puts many questions into one call: everything that waits when the model becomes free goes together."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from indexer.models.scheduler import outcomes_of
from indexer.threads import Threads

T = TypeVar("T")
R = TypeVar("R")

_PATIENCE = 0.05  # as a fraction of the time that the last batch took


class Batcher(Generic[T, R]):
    """Calls `run` with up to `size` items, in a thread of its own, one call at a time.

    A batch starts at once when the thread is idle. Right after a batch of several items, the next one waits a moment
    until as many are there again. Its clients may be about to ask again, and each call has a fixed cost.
    """

    def __init__(self, run: Callable[[Sequence[T]], Sequence[R]], size: int) -> None:
        self._run = run
        self._size = size
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._arrived = asyncio.Event()
        self._working: asyncio.Task[None] | None = None
        self._threads: Threads[list[R | Exception]] = Threads(most=1)

    async def __call__(self, item: T) -> R:
        """The result for `item`. Raises what `run` raises for this item alone."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._arrived.set()
        if self._working is None or self._working.done():
            self._working = asyncio.ensure_future(self._work())
        return await future

    def close(self) -> None:
        """Start no more calls. A running call cannot be stopped: it ends by itself."""
        if self._working is not None:
            self._working.cancel()
        for _, future in self._waiting:
            future.cancel()

    async def _work(self) -> None:
        """Run batches until nothing waits."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0)  # items that are ready in this turn of the event loop join
        while batch := self._take():
            start = loop.time()
            try:
                call = self._threads.submit(outcomes_of, self._run, [item for item, _ in batch])
                found = await asyncio.wrap_future(call)
            except MemoryError as error:  # there is no thread
                found = [error] * len(batch)
            except BaseException:  # closed
                for _, future in batch:
                    future.cancel()
                raise
            for (_, future), outcome in zip(batch, found, strict=True):
                if future.done():  # the caller was cancelled
                    continue
                if isinstance(outcome, Exception):
                    future.set_exception(outcome)
                else:
                    future.set_result(outcome)
            if len(batch) > 1:
                await self._gather(len(batch), _PATIENCE * (loop.time() - start))

    def _take(self) -> list[tuple[T, asyncio.Future[R]]]:
        batch: list[tuple[T, asyncio.Future[R]]] = []
        while self._waiting and len(batch) < self._size:
            entry = self._waiting.popleft()
            if not entry[1].done():
                batch.append(entry)
        return batch

    async def _gather(self, expected: int, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while len(self._waiting) < expected:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            return
