"""Shares a few threads between the stages that photos go through, forming batches of whatever waits.

The idea of letting a batch leave as soon as a thread is free, instead of waiting to fill it, is that of
michaelfeil/infinity; here one pool serves all stages, so that no processor idles while any stage has work, and none is
asked to do two things at once.
"""

import asyncio
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


@dataclass(eq=False)
class Stage(Generic[T, R]):
    """One kind of work: `run` takes up to `size` items in a thread and gives a result each; `limit` calls at once."""

    name: str
    run: Callable[[Sequence[T]], Sequence[R]]
    size: int = 1
    limit: int = 1_000_000
    _waiting: deque[tuple[T, asyncio.Future[R]]] = field(default_factory=deque, repr=False)
    _running: int = field(default=0, repr=False)

    @property
    def _ready(self) -> bool:
        return bool(self._waiting) and self._running < self.limit

    @property
    def _full(self) -> bool:
        return self._ready and len(self._waiting) >= self.size


class Scheduler:
    """Runs the items of several stages on `threads` threads.

    A thread that becomes free takes a full batch if there is one, of the stage furthest on; else it feeds the first
    stage that has anything, so that batches further on fill up. Nothing waits while a thread is idle. Threads
    that are `modest` leave the processors to whoever else in this process wants them.
    """

    def __init__(self, threads: int, stages: Sequence[Stage[Any, Any]], *, modest: bool = False) -> None:
        self._stages = stages  # in the order that a photo goes through them
        self._free = threads
        self._executor = ThreadPoolExecutor(
            threads, thread_name_prefix="model", initializer=_step_back if modest else None
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._scheduled = False

    async def __call__(self, stage: Stage[T, R], item: T) -> R:
        """The result of `stage` for `item`. Raises what the stage raises for this item by itself."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        stage._waiting.append((item, future))
        if not self._scheduled:  # once everything that is ready in this turn of the loop has joined
            self._scheduled = True
            loop.call_soon(self._dispatch)
        return await future

    def close(self) -> None:
        """Start nothing more. Work in a thread cannot be stopped: it ends by itself."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _dispatch(self) -> None:
        self._scheduled = False
        while self._free:
            stage = next((s for s in reversed(self._stages) if s._full), None) or next(
                (s for s in self._stages if s._ready), None
            )
            if stage is None:
                return
            batch: list[tuple[Any, asyncio.Future[Any]]] = []
            while stage._waiting and len(batch) < stage.size:
                entry = stage._waiting.popleft()
                if not entry[1].done():  # whoever asked may have gone
                    batch.append(entry)
            if not batch:
                continue
            self._free -= 1
            stage._running += 1
            task = asyncio.ensure_future(self._run(stage, batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, stage: Stage[Any, Any], batch: list[tuple[Any, asyncio.Future[Any]]]) -> None:
        try:
            outcomes = await asyncio.get_running_loop().run_in_executor(
                self._executor, outcomes_of, stage.run, [item for item, _ in batch]
            )
        except BaseException as error:  # the executor is closed, or this task cancelled
            outcomes = [error] * len(batch)
        finally:
            self._free += 1
            stage._running -= 1
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if future.done():
                continue
            if isinstance(outcome, BaseException):
                future.set_exception(
                    outcome if isinstance(outcome, Exception) else asyncio.CancelledError(str(outcome))
                )
            else:
                future.set_result(outcome)
        self._dispatch()


def _step_back() -> None:
    """Lower this thread's own priority, which on Linux, and only there, it has apart from its process."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 5)


def outcomes_of(run: Callable[[Sequence[Any]], Sequence[Any]], items: Sequence[Any]) -> list[Any]:
    """A result or an exception an item. Items that fail together are tried by themselves: one bad one fails alone."""
    try:
        results = run(items)
        if len(results) != len(items):
            raise RuntimeError(f"{len(results)} results for {len(items)} items")
        return list(results)
    except Exception as error:
        if len(items) == 1:
            return [error]
        return [outcome for item in items for outcome in outcomes_of(run, [item])]
