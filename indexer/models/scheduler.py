"""Shares a few threads between the stages that photos go through, and forms batches of what waits.

A batch starts as soon as a thread is free. It does not wait until it is full. (This idea is from
michaelfeil/infinity.) Here one pool of threads serves all stages. So no processor is idle while any stage has work, and
none has to do two things at once.
"""

import asyncio
import contextlib
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from indexer.threads import Threads

T = TypeVar("T")
R = TypeVar("R")


@dataclass(eq=False)
class Ticket:
    """One interactive item on its way through several stages. `calls` are the calls that it waits for now."""

    calls: int = 0


@dataclass(eq=False)
class _Call(Generic[T, R]):
    item: T
    result: asyncio.Future[R]
    ticket: Ticket | None


@dataclass(eq=False)
class Stage(Generic[T, R]):
    """One kind of work. `run` takes up to `size` items in a thread, and gives a result each; `limit`: calls at once."""

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

    A free thread takes a full batch if there is one, of the latest stage. Otherwise it takes what the earliest stage
    with work has, so that the batches of later stages fill up. No work waits while a thread is idle. If
    `background`, the threads leave the processors to other work of this process.

    Interactive items go before everything that has not started, in calls of their own. While such an item is between
    two stages nothing else is started. So it waits only for calls that are already running.
    """

    def __init__(self, threads: int, stages: Sequence[Stage[Any, Any]], *, background: bool = False) -> None:
        self._stages = stages  # in the order in which a photo goes through them
        self._free = threads
        self._threads: Threads[list[Any]] = Threads(_step_back if background else bool)
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self._tickets: list[Ticket] = []

    async def __call__(self, stage: Stage[T, R], item: T, ticket: Ticket | None = None) -> R:
        """The result of `stage` for `item`. Raises what the stage raises for this item alone."""
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
        """A ticket for an interactive item, to be passed with each of its calls until the last one is done."""
        ticket = Ticket()
        self._tickets.append(ticket)
        try:
            yield ticket
        finally:
            self._tickets.remove(ticket)
            self._soon()

    def _soon(self) -> None:
        """Start what can be started, after everything that is ready in this turn of the event loop has been added."""
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._dispatch)

    def close(self) -> None:
        """Start no more work. Work in a thread cannot be stopped: it ends by itself."""
        self._closed = True

    def _dispatch(self) -> None:
        self._scheduled = False
        while self._free:
            stage, waiting = self._next()
            if stage is None:
                return
            batch: list[_Call[Any, Any]] = []
            while waiting and len(batch) < stage.size:
                call = waiting.popleft()
                if not call.result.done():  # the caller may have been cancelled
                    batch.append(call)
            if not batch:
                continue
            self._free -= 1
            stage._running += 1
            task = asyncio.ensure_future(self._run(stage, batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _next(self) -> tuple[Stage[Any, Any] | None, deque[_Call[Any, Any]]]:
        """The stage to start now, and its calls. None where nothing is to start."""
        if interactive := next((s for s in reversed(self._stages) if s._pressing), None):
            return interactive, interactive._interactive
        if any(not ticket.calls for ticket in self._tickets):  # it is between two stages
            return None, deque()
        stage = next((s for s in reversed(self._stages) if s._full), None) or next(
            (s for s in self._stages if s._ready), None
        )
        return stage, stage._waiting if stage else deque()

    async def _run(self, stage: Stage[Any, Any], batch: list[_Call[Any, Any]]) -> None:
        try:
            if self._closed:
                raise RuntimeError("nothing more is started")
            outcomes = await asyncio.wrap_future(
                self._threads.submit(outcomes_of, stage.run, [call.item for call in batch])
            )
        except BaseException as error:  # it is closed, no thread can be started, or this task was cancelled
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
    """Lower the priority of this thread. Only on Linux does a thread have one of its own."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 5)


def outcomes_of(run: Callable[[Sequence[Any]], Sequence[Any]], items: Sequence[Any]) -> list[Any]:
    """A result or an exception for each item. Items that fail together are tried alone: so a bad one fails alone."""
    try:
        results = run(items)
        if len(results) != len(items):
            raise RuntimeError(f"{len(results)} results for {len(items)} items")
        return list(results)
    except Exception as error:
        if len(items) == 1:
            return [error]
        return [outcome for item in items for outcome in outcomes_of(run, [item])]
