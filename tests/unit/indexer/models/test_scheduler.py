"""Batches and threads, and the budget that bounds memory: without models, without time."""

import asyncio
import threading
from contextlib import suppress

import pytest

from indexer.models.inference import Budget, Inference
from indexer.models.scheduler import Scheduler, Stage
from tests.support import stubs


def double(items):
    return [2 * item for item in items]


class Held:
    """A stage whose calls wait until they are let go; `batches` are those that were begun."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self._begun = threading.Semaphore(0)
        self._gone = threading.Semaphore(0)

    def __call__(self, items):
        self.batches.append(list(items))
        self._begun.release()
        assert self._gone.acquire(timeout=30)
        return double(items)

    async def begun(self) -> None:
        assert await asyncio.to_thread(self._begun.acquire, True, 30)

    def let_go(self, calls: int = 1) -> None:
        self._gone.release(calls)


async def test_each_gets_the_result_of_its_own_item():
    stage = Stage("double", double, size=3)
    schedule = Scheduler(2, [stage])
    assert await asyncio.gather(*(schedule(stage, item) for item in range(100))) == [2 * item for item in range(100)]
    schedule.close()


async def test_what_waits_together_leaves_together_up_to_the_size():
    held = Held()
    stage = Stage("held", held, size=4)
    schedule = Scheduler(1, [stage])
    asked = [asyncio.ensure_future(schedule(stage, item)) for item in range(6)]
    await held.begun()
    held.let_go(2)
    assert await asyncio.gather(*asked) == [0, 2, 4, 6, 8, 10]
    assert held.batches == [[0, 1, 2, 3], [4, 5]]
    schedule.close()


async def test_a_single_item_does_not_wait_for_company():
    stage = Stage("double", double, size=64)
    schedule = Scheduler(1, [stage])
    assert await schedule(stage, 21) == 42
    schedule.close()


async def test_a_stage_runs_no_more_often_at_once_than_it_may():
    held = Held()
    narrow, other = Stage("narrow", held, limit=1), Stage("other", double)
    schedule = Scheduler(4, [narrow, other])
    asked = [asyncio.ensure_future(schedule(narrow, item)) for item in range(3)]
    await held.begun()
    assert await schedule(other, 1) == 2, "the other threads are free"
    assert held.batches == [[0]]
    held.let_go(3)
    assert await asyncio.gather(*asked) == [0, 2, 4]
    schedule.close()


async def test_full_batches_further_on_come_first():
    held, order = Held(), []
    gate = Stage("gate", held)
    early = Stage("early", lambda items: order.append("early") or items)
    late = Stage("late", lambda items: order.append("late") or items, size=2)
    schedule = Scheduler(1, [gate, early, late])
    first = asyncio.ensure_future(schedule(gate, 0))
    await held.begun()
    asked = [asyncio.ensure_future(schedule(stage, 1)) for stage in (early, late, late)]
    await asyncio.sleep(0)
    held.let_go()
    await asyncio.gather(first, *asked)
    assert order == ["late", "early"]
    schedule.close()


async def test_one_bad_item_fails_alone():
    def picky(items):
        if 3 in items:
            raise ValueError("three")
        return double(items)

    stage = Stage("picky", picky, size=8)
    schedule = Scheduler(1, [stage])
    outcomes = await asyncio.gather(*(schedule(stage, item) for item in range(8)), return_exceptions=True)
    assert [outcome for outcome in outcomes if isinstance(outcome, int)] == [0, 2, 4, 8, 10, 12, 14]
    assert isinstance(outcomes[3], ValueError)
    schedule.close()


async def test_a_wrong_number_of_results_is_an_error():
    stage = Stage("short", lambda items: [])
    schedule = Scheduler(1, [stage])
    with pytest.raises(RuntimeError, match="0 results for 1 items"):
        await schedule(stage, 1)
    schedule.close()


async def test_what_nobody_waits_for_any_more_is_not_begun():
    held = Held()
    stage = Stage("held", held)
    schedule = Scheduler(1, [stage])
    first, gone, last = (asyncio.ensure_future(schedule(stage, item)) for item in range(3))
    await held.begun()
    gone.cancel()
    held.let_go(2)
    assert (await first, await last) == (0, 4)
    assert held.batches == [[0], [2]]
    schedule.close()


async def test_after_closing_nothing_begins():
    stage = Stage("double", double)
    schedule = Scheduler(1, [stage])
    schedule.close()
    with pytest.raises(RuntimeError):
        await schedule(stage, 1)


# The budget


class Users:
    """Those who want a share of a budget: who is in, and how much they hold."""

    def __init__(self, total: int) -> None:
        self.budget = Budget(total)
        self.inside: list[int] = []
        self._leave: dict[asyncio.Task[None], asyncio.Event] = {}

    async def come(self, units: int) -> "asyncio.Task[None]":
        task = asyncio.create_task(self._stay(units))
        self._leave[task] = asyncio.Event()
        await settle()
        return task

    def send_off(self, task: "asyncio.Task[None]") -> None:
        self._leave[task].set()

    async def leave(self, task: "asyncio.Task[None]") -> None:
        self.send_off(task)
        await settle()

    async def _stay(self, units: int) -> None:
        task = asyncio.current_task()
        assert task is not None
        async with self.budget(units):
            self.inside.append(units)
            try:
                await self._leave[task].wait()
            finally:
                self.inside.remove(units)


async def settle() -> None:
    """Let everything run that can: nothing here waits for anything but each other."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_no_more_is_in_flight_than_the_budget_allows():
    users = Users(10)
    first, second = await users.come(4), await users.come(6)
    third = await users.come(1)
    assert users.inside == [4, 6]
    await users.leave(first)
    assert users.inside == [6, 1]
    await users.leave(second)
    await users.leave(third)
    assert users.inside == []


async def test_who_wants_more_than_all_comes_in_alone():
    users = Users(10)
    small = await users.come(1)
    huge = await users.come(1000)
    after = await users.come(1)
    assert users.inside == [1], "first come, first in: the huge one is not passed for ever"
    await users.leave(small)
    assert users.inside == [1000]
    await users.leave(huge)
    assert users.inside == [1]
    await users.leave(after)


async def test_who_gives_up_waiting_does_not_block_the_others():
    users = Users(10)
    first = await users.come(9)
    waiting = await users.come(8)
    after = await users.come(1)
    assert users.inside == [9]
    waiting.cancel()
    await settle()
    assert users.inside == [9, 1]
    await users.leave(first)
    await users.leave(after)


async def test_who_is_cancelled_gives_back_what_it_had():
    users = Users(10)
    holders = [await users.come(5) for _ in range(2)]
    waiting = [await users.come(5) for _ in range(2)]
    for task in holders:
        task.cancel()
    holders[0].cancel()
    await settle()
    assert users.inside == [5, 5]
    late = await users.come(5)
    users.send_off(waiting[0])  # makes room for one who goes in the same moment
    late.cancel()
    await settle()
    everything = await users.come(10)
    await users.leave(waiting[1])
    assert users.inside == [10]
    await users.leave(everything)


async def test_a_picture_with_more_pixels_than_the_budget_is_read_all_the_same():
    inference = Inference(stubs.StubClip(), stubs.StubOcr(), threads=2, pixels_in_flight=10)
    answers = await asyncio.gather(*(inference.read(stubs.picture(n), clip=True, ocr=True) for n in range(20)))
    assert [lines[0].text for _, lines in answers] == [stubs.expected_text(number) for number in range(20)]
    inference.close()


async def test_readers_that_are_cancelled_leave_room_for_others():
    inference = Inference(stubs.StubClip(), stubs.StubOcr(), threads=1, pixels_in_flight=64)
    asked = [asyncio.create_task(inference.read(stubs.picture(n), clip=True, ocr=False)) for n in range(20)]
    await settle()
    for task in asked[::2]:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    assert sum(task.cancelled() for task in asked) >= 9
    vector, lines = await inference.read(stubs.picture(1), clip=True, ocr=False)
    assert vector is not None
    assert lines is None
    inference.close()


async def test_what_is_urgent_goes_first_and_by_itself():
    held, order = Held(), []
    gate = Stage("gate", held)
    early = Stage("early", lambda items: order.append(("early", list(items))) or items)
    late = Stage("late", lambda items: order.append(("late", list(items))) or items, size=2)
    schedule = Scheduler(1, [gate, early, late])

    async def through() -> None:
        with schedule.ticket() as ticket:
            for stage in (early, late):
                await schedule(stage, "interactive", ticket)

    first = asyncio.ensure_future(schedule(gate, 0))
    await held.begun()
    asked = [asyncio.ensure_future(schedule(stage, 1)) for stage in (early, late, late, late)]
    interactive = asyncio.ensure_future(through())
    await asyncio.sleep(0)
    held.let_go()
    await asyncio.gather(first, interactive, *asked)
    assert order == [
        ("early", ["interactive"]),
        ("late", ["interactive"]),
        ("late", [1, 1]),
        ("early", [1]),
        ("late", [1]),
    ]
    schedule.close()


@pytest.mark.parametrize("end", [asyncio.CancelledError, RuntimeError])
async def test_an_urgent_one_that_ends_badly_holds_nobody_up(end):
    stage = Stage("double", double)
    schedule = Scheduler(1, [stage])

    async def fail() -> asyncio.Future[int]:
        with suppress(end), schedule.ticket():
            asked = asyncio.ensure_future(schedule(stage, 1))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not asked.done()
            raise end
        return asked

    assert await (await fail()) == 2
    schedule.close()


async def test_an_urgent_holder_of_the_budget_comes_in_at_once_and_only_one_too_many():
    budget = Budget(10)
    inside: list[str] = []
    leave = {name: asyncio.Event() for name in ("first", "waiting", "interactive", "another")}

    async def hold(name: str, interactive: bool) -> None:
        async with budget(8, interactive=interactive):
            inside.append(name)
            await leave[name].wait()

    async def settle() -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for name, interactive in (("first", False), ("waiting", False), ("interactive", True), ("another", True)):
            group.create_task(hold(name, interactive))
        await settle()
        assert inside == ["first", "interactive"]
        leave["interactive"].set()
        await settle()
        assert inside == ["first", "interactive", "another"]
        leave["another"].set()
        await settle()
        assert inside[3:] == []
        leave["first"].set()
        await settle()
        assert inside[3:] == ["waiting"]
        leave["waiting"].set()
