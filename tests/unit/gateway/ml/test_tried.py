"""The tower of a tried model: started by a question, ended when nobody asks any more."""

import asyncio

import numpy as np
import pytest

from gateway.errors import ModelAwayError, UnavailableError
from gateway.ml.tried import TriedTower
from indexer.errors import WeightsError
from indexer.models.engines.engine import Engine
from indexer.models.engines.hosted import HostedText
from indexer.models.engines.messages import Opened
from indexer.models.engines.probe import TextProbe
from tests.support.hosts import QUICK, InThisProcess
from tests.support.stubs import StubText, text_vector


class Opener:
    """Opens stub towers that have the setting's own name; `fails` is raised instead."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.towers: list[HostedText] = []
        self.runners: list[InThisProcess] = []
        self.fails: Exception | None = None

    def __call__(self, setting: str):
        self.opened.append(setting)
        if self.fails is not None:
            raise self.fails
        runner = InThisProcess(Opened(StubText(setting), "cpu"))
        tower = HostedText(Engine("the text tower", lambda device: runner, TextProbe(), pace=QUICK))
        tower.engine.start()
        tower.engine.settle(20)
        self.towers.append(tower)
        self.runners.append(runner)
        return tower

    async def ended(self, number: int) -> bool:
        """Wait until that process has been ended."""
        return await asyncio.to_thread(self.runners[number].ended.wait, 20)


async def test_it_is_started_by_the_first_question_and_stays_for_the_next():
    opener = Opener()
    tower = TriedTower(opener)
    assert opener.opened == [], "nobody has asked"
    for text in ("海边", "日落"):
        assert np.allclose(await tower.embed("new", "new", text, "zh-CN"), text_vector(text))
    assert opener.opened == ["new"]
    tower.close()
    assert await opener.ended(0)


async def test_it_is_ended_when_nobody_asks_and_started_again_by_the_next_question():
    opener = Opener()
    tower = TriedTower(opener, idle=0)
    await tower.embed("new", "new", "海边", None)
    assert await opener.ended(0)
    await tower.embed("new", "new", "海边", None)
    assert opener.opened == ["new", "new"]
    assert await opener.ended(1)


async def test_another_model_takes_its_place():
    opener = Opener()
    tower = TriedTower(opener)
    await tower.embed("one", "one", "海边", None)
    await tower.embed("other", "other", "海边", None)
    assert await opener.ended(0)
    assert opener.towers[1].engine.state.is_ready
    with pytest.raises(UnavailableError, match="other is other here, and what was tried was tried"):
        await tower.embed("other", "what was tried", "海边", None)
    tower.close()


async def test_a_model_that_cannot_be_opened_is_tried_again():
    opener = Opener()
    tower = TriedTower(opener)
    opener.fails = WeightsError("the weights are missing")
    with pytest.raises(UnavailableError, match="the tried model, new, cannot be opened: the weights are missing"):
        await tower.embed("new", "new", "海边", None)
    opener.fails = None
    await tower.embed("new", "new", "海边", None)
    opener.towers[0].engine.close()
    with pytest.raises(ModelAwayError):
        await tower.embed("new", "new", "海边", None)
    tower.close()
    with pytest.raises(UnavailableError, match="there is no CLIP here"):
        await TriedTower(None).embed("new", "new", "海边", None)
