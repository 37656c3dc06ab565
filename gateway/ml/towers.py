"""The text towers of a gateway: of its own CLIP_MODEL, and of the model in use while that is another one."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import structlog

from gateway.errors import UnavailableError
from gateway.library import Current, Vector
from gateway.ml.engines import engines_of
from indexer.errors import IndexerError
from indexer.models.engines.engine import Engine
from indexer.models.engines.hosted import name_of

log = structlog.get_logger()


class TextModel(Protocol):
    """What we need of a CLIP model. `indexer.models.clip.cn_clip.on_torch.Clip` is one."""

    @property
    def name(self) -> str:
        """Its name, as stored with the vectors of photos."""

    @property
    def dimensions(self) -> int:
        """The width of its vectors."""

    def encode_texts(self, texts: Sequence[str], language: str | None = None) -> Vector:
        """(n, dimensions) float32, L2-normalised. `language`: of all of them, None where unknown."""


class OtherTower:
    """At most one text tower of another model: started when it is asked for, ended when another one is.

    Args:
        open_tower: starts the tower that a value of CLIP_MODEL names. It blocks for seconds.
        opened: called with the engine of each tower that was started.
    """

    def __init__(
        self, open_tower: Callable[[str], TextModel], opened: Callable[[Engine], object] = lambda engine: None
    ) -> None:
        self._open = open_tower
        self._opened = opened
        self._opening: tuple[str, asyncio.Task[TextModel]] | None = None

    @property
    def ready(self) -> TextModel | None:
        """The tower. None where there is none yet."""
        if self._opening is None:
            return None
        opening = self._opening[1]
        return opening.result() if _was_opened(opening) else None

    async def of(self, setting: str) -> TextModel:
        """The tower that `setting` names. Raises IndexerError: it cannot be opened now; the next call tries again."""
        if self._opening is None or self._opening[0] != setting:
            self.leave()
            self._opening = setting, asyncio.create_task(asyncio.to_thread(self._open, setting))
            self._opening[1].add_done_callback(partial(_each_engine, self._opened))
        try:
            return await asyncio.shield(self._opening[1])
        except IndexerError:
            self._opening = None
            raise

    def leave(self) -> None:
        """End the tower, also one that is still being opened."""
        if self._opening is not None:
            opening = self._opening[1]
            if opening.done():
                _each_engine(Engine.close, opening)
            else:
                opening.add_done_callback(partial(_each_engine, Engine.close))
        self._opening = None


def _was_opened(opening: "asyncio.Task[TextModel]") -> bool:
    return opening.done() and not opening.cancelled() and not opening.exception()


def _each_engine(call: Callable[[Engine], object], opening: "asyncio.Task[TextModel]") -> None:
    if _was_opened(opening):
        for engine in engines_of(text=opening.result()).values():
            call(engine)


class Towers:
    """Finds the text tower that makes questions for the photos' vectors.

    Args:
        own: the tower of CLIP_MODEL. None where there is no CLIP here.
        setting: the value of CLIP_MODEL.
        open_tower: starts the tower of another model. It blocks for seconds. None: there are no others.
        opened: called with the engine of each tower that was started.
    """

    def __init__(
        self,
        own: TextModel | None,
        setting: str,
        open_tower: Callable[[str], TextModel] | None,
        opened: Callable[[Engine], object],
    ) -> None:
        self.own = own
        self._setting = setting
        self._open = open_tower
        self._other = None if open_tower is None else OtherTower(self._begin, opened)

    @property
    def engines(self) -> dict[str, Engine]:
        """The engines, by task."""
        return engines_of(text=self.own, **{"text in use": self._other.ready if self._other else None})

    async def of(self, model: Current | None) -> TextModel | None:
        """The tower of the model in use. None where there is no CLIP here.

        Raises:
            UnavailableError: it cannot be opened, or has other weights than the indexer's.
        """
        if self.own is None or self._is_own(model):
            self._leave()
            return self.own
        assert model is not None  # noqa: S101 - else it is our own
        if model.setting is None or self._other is None:
            raise UnavailableError(f"the photos have vectors of {model.name}, and no setting names that model", 60)
        try:
            tower = await self._other.of(model.setting)
        except IndexerError as error:
            raise UnavailableError(f"the model in use, {model.setting}, cannot be opened: {error}", 60) from error
        if name_of(tower) not in (None, model.name):
            raise UnavailableError(
                f"{model.setting} is {name_of(tower)} here, and the photos have vectors of {model.name}", 60
            )
        return tower

    def close(self) -> None:
        """End the towers."""
        for engine in engines_of(text=self.own).values():
            engine.close()
        self._leave()

    def _begin(self, setting: str) -> TextModel:
        assert self._open is not None  # noqa: S101 - else there is no other tower
        log.info("opening the model in use, which is not that of CLIP_MODEL", model=setting)
        return self._open(setting)

    def _leave(self) -> None:
        if self._other is not None:
            self._other.leave()

    def _is_own(self, model: Current | None) -> bool:
        """Whether it is ours. Before our weights are here we know it by its setting alone."""
        if model is None:
            return True
        name = name_of(self.own)
        return model.setting == self._setting if name is None else name == model.name
