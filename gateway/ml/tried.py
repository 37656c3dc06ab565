"""The text tower of a model that is only tried: a process of its own, for as long as somebody asks it questions."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from gateway.errors import UnavailableError
from gateway.gate import Gate
from gateway.library import Vector
from gateway.ml.engines import asked
from gateway.ml.towers import OtherTower, TextModel
from indexer.errors import IndexerError
from indexer.models.engines.hosted import is_by_language

_IDLE = 300.0  # seconds without a question after which it is ended
_AT_ONCE = 8


class TriedTower:
    """Starts the tower at the first question, and ends it some minutes after the last one.

    Args:
        open_tower: starts the tower that a value of CLIP_MODEL names. It blocks for seconds. None: there is none.
        idle: seconds without a question after which it is ended.
    """

    def __init__(self, open_tower: Callable[[str], TextModel] | None, *, idle: float = _IDLE) -> None:
        self.gate = Gate("questions to the tried model", _AT_ONCE)
        self._other = None if open_tower is None else OtherTower(open_tower)
        self._idle = idle
        self._asking = 0
        self._end: asyncio.TimerHandle | None = None
        self._one_at_a_time = asyncio.Lock()

    async def embed(self, setting: str, name: str, text: str, language: str | None) -> Vector:
        """The vector of `text` by the model `name`, which `setting` names: (dimensions,) float32, of length 1.

        Raises:
            BusyError: too many questions are waiting.
            MissingInputError: the model cannot process it.
            ModelAwayError: the model is not ready.
            UnavailableError: it cannot be opened here, or is another one here.
        """
        with self.gate(), self._present(), asked():
            tower = await self._tower(setting)
            if tower.name != name:
                raise UnavailableError(f"{setting} is {tower.name} here, and {name} was tried", 60)
            spoken = (language,) if language is not None and is_by_language(tower) else ()
            async with self._one_at_a_time:  # a call takes all processors
                made = await asyncio.to_thread(partial(tower.encode_texts, [text], *spoken))
        vector: Vector = made[0]
        return vector

    def close(self) -> None:
        """End the tower, also one that is still being opened."""
        if self._end is not None:
            self._end.cancel()
        if self._other is not None:
            self._other.leave()

    @contextmanager
    def _present(self) -> Iterator[None]:
        """While somebody asks the tower is not ended."""
        if self._end is not None:
            self._end.cancel()
        self._asking += 1
        try:
            yield
        finally:
            self._asking -= 1
            if not self._asking:
                self._end = asyncio.get_running_loop().call_later(self._idle, self.close)

    async def _tower(self, setting: str) -> TextModel:
        if self._other is None:
            raise UnavailableError("there is no CLIP here: TASKS leaves it out", 60)
        try:
            return await self._other.of(setting)
        except IndexerError as error:
            raise UnavailableError(f"the tried model, {setting}, cannot be opened: {error}", 60) from error
