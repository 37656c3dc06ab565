"""Threads that can be had or not."""

import _thread
import asyncio
import threading
from concurrent.futures import Future

import pytest

from indexer import threads
from indexer.threads import Executor, Threads


def test_one_that_never_begins_is_not_waited_for(monkeypatch):
    """As where it finds no memory for its first step."""
    late = []
    monkeypatch.setattr(_thread, "start_new_thread", lambda run, arguments: late.append(run))
    ran = threading.Event()
    with pytest.raises(MemoryError, match="did not begin"):
        threads.start(ran.set, patience=0.01)
    late[0]()
    assert not ran.is_set(), "what was given up on is not done after that"


def test_one_that_cannot_be_started_is_a_want_of_memory(monkeypatch):
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    with pytest.raises(MemoryError, match="can't start new thread"):
        threads.start(lambda: None)
    pool: Threads[int] = Threads()
    with pytest.raises(MemoryError):
        pool.submit(int, "1")
    monkeypatch.undo()
    assert pool.submit(int, "2").result(10) == 2


def test_as_many_as_are_needed_at_once_and_no_more():
    pool: Threads[int] = Threads()
    for _ in range(5):
        meeting = threading.Barrier(3)

        def meet(meeting: threading.Barrier = meeting) -> int:
            meeting.wait(10)
            return threading.get_ident()

        found = {future.result(10) for future in [pool.submit(meet) for _ in range(3)]}
        assert len(found) == 3
    idle = threading.active_count()
    for _ in range(20):
        pool.submit(int, "1").result(10)
    assert threading.active_count() <= idle


def test_no_more_than_the_most():
    pool: Threads[int] = Threads(most=2)
    go_on = threading.Event()

    def work() -> int:
        go_on.wait(10)
        return threading.get_ident()

    futures = [pool.submit(work) for _ in range(6)]
    go_on.set()
    assert len({future.result(10) for future in futures}) == 2


async def test_the_event_loop_waits_for_no_thread_that_never_begins(monkeypatch):
    loop = asyncio.get_running_loop()
    loop.set_default_executor(Executor(patience=0.01))
    hold = threading.Event()
    held = asyncio.ensure_future(asyncio.to_thread(hold.wait, 10))  # so that another thread is needed
    await asyncio.sleep(0)  # it has begun
    monkeypatch.setattr(_thread, "start_new_thread", lambda run, arguments: 0)
    with pytest.raises(MemoryError, match="did not begin"):
        await asyncio.to_thread(int, "1")
    hold.set()
    assert await held
    monkeypatch.undo()
    assert await asyncio.to_thread(int, "11", base=2) == 3


def test_what_is_raised_comes_to_whoever_asked():
    with pytest.raises(ValueError, match="invalid literal"):
        Threads[int]().submit(int, "one").result(10)


def test_whoever_asked_is_told_though_there_is_no_memory_to_tell_it(monkeypatch):
    class Short(Future):
        def __init__(self) -> None:
            super().__init__()
            self.refusals = 2

        def set_result(self, result: int) -> None:
            self._refuse()
            super().set_result(result)

        def set_exception(self, error: BaseException | None) -> None:
            self._refuse()
            super().set_exception(error)

        def _refuse(self) -> None:
            if self.refusals:
                self.refusals -= 1
                raise MemoryError

    monkeypatch.setattr(threads, "Future", Short)
    assert Threads[int]().submit(int, "3").result(10) == 3
