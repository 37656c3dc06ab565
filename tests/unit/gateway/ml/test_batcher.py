"""Questions that become one call of a model."""

import asyncio
import threading

import pytest

from gateway.ml.batcher import Batcher


class Model:
    """Doubles numbers; `hold` keeps it at work for as long as it is clear."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.hold = threading.Event()
        self.hold.set()
        self._began = threading.Event()

    def __call__(self, items):
        self.batches.append(list(items))
        self._began.set()
        self.hold.wait(10)
        if 13 in items:
            raise ValueError("13")
        return [2 * item for item in items]

    async def began(self) -> None:
        """It is at work."""
        assert await asyncio.to_thread(self._began.wait, 10)


@pytest.fixture
def model():
    return Model()


@pytest.fixture
async def batcher(model):
    batcher = Batcher(model, 4)
    yield batcher
    batcher.close()


async def test_who_comes_together_goes_together(model, batcher):
    assert await asyncio.gather(*(batcher(i) for i in range(10))) == [2 * i for i in range(10)]
    assert model.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


async def test_who_comes_alone_goes_at_once(model, batcher):
    for i in range(3):
        assert await batcher(i) == 2 * i
    assert model.batches == [[0], [1], [2]]


async def test_who_comes_while_it_works_waits_for_the_next(model, batcher):
    model.hold.clear()
    first = asyncio.create_task(batcher(0))
    await model.began()
    others = [asyncio.create_task(batcher(i)) for i in (1, 2)]
    await asyncio.sleep(0)  # they have asked
    model.hold.set()
    assert await asyncio.gather(first, *others) == [0, 2, 4]
    assert model.batches == [[0], [1, 2]]


async def test_after_several_the_next_wait_for_each_other_but_not_long(batcher):
    await asyncio.gather(*(batcher(i) for i in range(4)))
    async with asyncio.timeout(10):
        assert await batcher(5) == 10


async def test_one_that_cannot_be_answered_spoils_no_other(batcher):
    answers = await asyncio.gather(*(batcher(i) for i in (12, 13, 14)), return_exceptions=True)
    assert (answers[0], answers[2]) == (24, 28)
    assert isinstance(answers[1], ValueError)


async def test_nobody_works_for_who_has_gone(model, batcher):
    model.hold.clear()
    tasks = [asyncio.create_task(batcher(0))]
    await model.began()
    tasks += [asyncio.create_task(batcher(i)) for i in (1, 2)]
    await asyncio.sleep(0)  # they have asked
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    model.hold.set()
    assert await batcher(3) == 6
    assert model.batches == [[0], [3]]


async def test_closing_leaves_nobody_waiting(model):
    batcher = Batcher(model, 1)
    model.hold.clear()
    tasks = [asyncio.create_task(batcher(i)) for i in range(3)]
    await model.began()
    batcher.close()
    model.hold.set()
    outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
