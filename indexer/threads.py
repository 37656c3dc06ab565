"""Threads that can be had or not: nobody waits for one that never begins, and none keeps the process from ending.

`threading.Thread.start` returns when the thread has begun. One that finds no memory for its first step never does
(CPython 3.11 and 3.12), and whoever started it waits for ever, be it the event loop.
"""

import _thread
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Generic, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")

_PATIENCE = 2.0  # seconds in which a thread begins, on a machine that has much else to do
_IDLE = 60.0  # seconds after which one ends that nobody asks


def start(run: Callable[[], object], patience: float = _PATIENCE) -> None:
    """Call `run` in a thread of its own, which has to begin within `patience` seconds.

    Raises:
        MemoryError: there is none for a thread, or no further thread may be started.
    """
    begun, mine = threading.Event(), threading.Lock()  # whoever gets the lock decides whether it is begun

    def begin() -> None:
        if mine.acquire(blocking=False):
            begun.set()
            if trace := threading.gettrace():  # as `threading` does it, for debuggers
                sys.settrace(trace)
            run()

    try:
        _thread.start_new_thread(begin, ())
    except RuntimeError as error:
        raise MemoryError(str(error)) from error
    if not begun.wait(patience) and mine.acquire(blocking=False):
        raise MemoryError("a thread did not begin")


class Threads(Generic[T]):
    """As many as are needed at once. One that is done waits for the next call: few are ever started.

    Args:
        first: what each does before all else, if it can.
        most: how many there may be. Further calls wait.
        patience: seconds in which each has to begin.
    """

    def __init__(
        self, first: Callable[[], object] = bool, *, most: int = sys.maxsize, patience: float = _PATIENCE
    ) -> None:
        self._first = first
        self._most = most
        self._patience = patience
        self._running = 0
        self._changed = threading.Condition()
        self._calls: deque[tuple[Callable[..., T], tuple[Any, ...], Future[T]]] = deque()
        self._idle = 0

    def submit(self, run: Callable[..., T], *arguments: Any) -> "Future[T]":
        """What `run` comes to in a thread that does nothing else meanwhile. Raises MemoryError as `start`."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # so that giving up on it does not end it
        call = run, arguments, future
        with self._changed:
            self._calls.append(call)
            if len(self._calls) <= self._idle:
                self._changed.notify()
                return future
            if self._running >= self._most:
                return future
            self._running += 1
        try:
            start(self._serve, self._patience)
        except MemoryError:
            with self._changed:
                self._running -= 1
                with suppress(ValueError):  # another thread has taken it
                    self._calls.remove(call)
                    raise
        return future

    def _serve(self) -> None:
        with suppress(Exception):
            self._first()
        while True:
            try:
                call = self._next()
            except MemoryError:  # there is none even to wait
                time.sleep(0.1)
                continue
            if call is None:
                return
            _settle(*call)
            del call  # not held while nothing is asked

    def _next(self) -> tuple[Callable[..., T], tuple[Any, ...], "Future[T]"] | None:
        """What to do next; None where there was nothing for long."""
        with self._changed:
            self._idle += 1
            try:
                self._changed.wait_for(lambda: self._calls, _IDLE)
            finally:
                self._idle -= 1
            if self._calls:
                return self._calls.popleft()
            self._running -= 1
            return None


class Executor(ThreadPoolExecutor):
    """For `asyncio.loop.set_default_executor`, which takes no other class: what it runs, runs in `Threads`.

    Args:
        most: how many threads there may be.
        patience: seconds in which each has to begin.
    """

    def __init__(self, most: int = 32, patience: float = _PATIENCE) -> None:
        super().__init__(1)
        self._ours: Threads[Any] = Threads(most=most, patience=patience)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """As in the base class. Raises MemoryError as `start`."""
        return self._ours.submit(partial(fn, *args, **kwargs))


def _settle(run: Callable[..., T], arguments: tuple[Any, ...], future: "Future[T]") -> None:
    """Call it; the future is told in any case, be it late for want of memory."""
    while not future.done():
        try:
            future.set_result(run(*arguments))
        except BaseException as error:
            with suppress(MemoryError):
                future.set_exception(error)
                return
            time.sleep(0.1)
