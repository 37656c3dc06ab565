"""Shares a few threads between the stages that photos go through, forming batches of whatever waits.

The idea of letting a batch leave as soon as a thread is free, instead of waiting to fill it, is that of
michaelfeil/infinity; here one pool serves all stages, so that no processor idles while any stage has work, and none is
asked to do two things at once.
"""

import asyncio
import contextlib
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


@dataclass(eq=False)
class Ticket:
    """One interactive item on its way through several stages; `calls` are those it now waits for."""

    calls: int = 0


@dataclass(eq=False)
class _Call(Generic[T, R]):
    item: T
    result: asyncio.Future[R]
    ticket: Ticket | None


@dataclass(eq=False)
class Stage(Generic[T, R]):
    """One kind of work: `run` takes up to `size` items in a thread and gives a result each; `limit` calls at once."""

    name: str
    run: Callable[[Sequence[T]], Sequence[R]]
    size: int = 1
    limit: int = 1_000_000
    _waiting: deque[_Call[T, R]] = field(default_factory=deque, repr=False)
    _interactive: deque[_Call[T, R]] = field(default_factory=deque, repr=False)
    _running: int = field(default=0, repr=False)

    @property
    def _ready(self) -> bool:
        return bool(self._waiting) and self._running < self.limit

    @property
    def _full(self) -> bool:
        return self._ready and len(self._waiting) >= self.size

    @property
    def _pressing(self) -> bool:
        return bool(self._interactive) and self._running < self.limit


class Scheduler:
    """Runs the items of several stages on `threads` threads.

    A thread that becomes free takes a full batch if there is one, of the stage furthest on; else it feeds the first
    stage that has anything, so that batches further on fill up. Nothing waits while a thread is idle. Threads
    that are `background` leave the processors to whoever else in this process wants them.

    Interactive items go before everything that has not begun, in calls of their own. Nothing else is begun while one is
    on its way from one stage to the next: it waits for the calls under way and for no others.
    """

    def __init__(self, threads: int, stages: Sequence[Stage[Any, Any]], *, background: bool = False) -> None:
        self._stages = stages  # in the order that a photo goes through them
        self._free = threads
        self._executor = ThreadPoolExecutor(
            threads, thread_name_prefix="model", initializer=_step_back if background else None
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self._tickets: list[Ticket] = []

    async def __call__(self, stage: Stage[T, R], item: T, ticket: Ticket | None = None) -> R:
        """The result of `stage` for `item`. Raises what the stage raises for this item by itself."""
        call: _Call[T, R] = _Call(item, asyncio.get_running_loop().create_future(), ticket)
        if ticket is None:
            stage._waiting.append(call)
        else:
            ticket.calls += 1
            stage._interactive.append(call)
        self._soon()
        return await call.result

    @contextlib.contextmanager
    def ticket(self) -> Iterator[Ticket]:
        """For an interactive item. Given to each of its calls: one is always under way or to come."""
        ticket = Ticket()
        self._tickets.append(ticket)
        try:
            yield ticket
        finally:
            self._tickets.remove(ticket)
            self._soon()

    def _soon(self) -> None:
        """Begin what can be begun, once everything that is ready in this turn of the loop has joined."""
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._dispatch)

    def close(self) -> None:
        """Start nothing more. Work in a thread cannot be stopped: it ends by itself."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _dispatch(self) -> None:
        self._scheduled = False
        while self._free:
            stage, waiting = self._next()
            if stage is None:
                return
            batch: list[_Call[Any, Any]] = []
            while waiting and len(batch) < stage.size:
                call = waiting.popleft()
                if not call.result.done():  # whoever asked may have gone
                    batch.append(call)
            if not batch:
                continue
            self._free -= 1
            stage._running += 1
            task = asyncio.ensure_future(self._run(stage, batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _next(self) -> tuple[Stage[Any, Any] | None, deque[_Call[Any, Any]]]:
        """What to begin now, and which of its calls; None where nothing is to be."""
        if interactive := next((s for s in reversed(self._stages) if s._pressing), None):
            return interactive, interactive._interactive
        if any(not ticket.calls for ticket in self._tickets):  # on its way to the next stage
            return None, deque()
        stage = next((s for s in reversed(self._stages) if s._full), None) or next(
            (s for s in self._stages if s._ready), None
        )
        return stage, stage._waiting if stage else deque()

    async def _run(self, stage: Stage[Any, Any], batch: list[_Call[Any, Any]]) -> None:
        try:
            outcomes = await asyncio.get_running_loop().run_in_executor(
                self._executor, outcomes_of, stage.run, [call.item for call in batch]
            )
        except BaseException as error:  # the executor is closed, or this task cancelled
            outcomes = [error] * len(batch)
        finally:
            self._free += 1
            stage._running -= 1
        for call, outcome in zip(batch, outcomes, strict=True):
            if call.ticket is not None:
                call.ticket.calls -= 1
            if call.result.done():
                continue
            if isinstance(outcome, BaseException):
                call.result.set_exception(
                    outcome if isinstance(outcome, Exception) else asyncio.CancelledError(str(outcome))
                )
            else:
                call.result.set_result(outcome)
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
