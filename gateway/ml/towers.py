"""The text towers of a gateway: of its own CLIP_MODEL, and of the model in use while that is another one."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from gateway.errors import UnavailableError
from gateway.library import Current, Vector
from gateway.ml.engines import engines_of
from indexer.errors import IndexerError
from indexer.models.engine import Engine
from indexer.models.hosted import name_of

log = structlog.get_logger()


class TextModel(Protocol):
    """What we need of a CLIP model. `indexer.models.clip.Clip` is one."""

    @property
    def name(self) -> str:
        """Its name, as stored with the vectors of photos."""

    @property
    def dimensions(self) -> int:
        """The width of its vectors."""

    def encode_texts(self, texts: Sequence[str], language: str | None = None) -> Vector:
        """(n, dimensions) float32, L2-normalised. `language`: of all of them, None where unknown."""


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
        self._opened = opened
        self._other: tuple[str, asyncio.Task[TextModel]] | None = None

    @property
    def engines(self) -> dict[str, Engine]:
        """The engines, by task."""
        return engines_of(text=self.own, **{"text in use": self._ready})

    async def of(self, model: Current | None) -> TextModel | None:
        """The tower of the model in use. None where there is no CLIP here.

        Raises:
            UnavailableError: it cannot be opened, or has other weights than the indexer's.
        """
        if self.own is None or self._is_own(model):
            self._leave()
            return self.own
        assert model is not None  # noqa: S101 - else it is our own
        if model.setting is None or self._open is None:
            raise UnavailableError(f"the photos have vectors of {model.name}, and no setting names that model", 60)
        if self._other is None or self._other[0] != model.setting:
            self._leave()
            log.info("opening the model in use, which is not that of CLIP_MODEL", model=model.setting)
            self._other = model.setting, asyncio.create_task(asyncio.to_thread(self._open, model.setting))
            self._other[1].add_done_callback(self._tell)
        setting, opening = self._other
        try:
            tower = await asyncio.shield(opening)
        except IndexerError as error:
            self._other = None  # the next question tries again
            raise UnavailableError(f"the model in use, {setting}, cannot be opened: {error}", 60) from error
        if name_of(tower) not in (None, model.name):
            raise UnavailableError(
                f"{setting} is {name_of(tower)} here, and the photos have vectors of {model.name}", 60
            )
        return tower

    def close(self) -> None:
        """End the towers."""
        for engine in self.engines.values():
            engine.close()
        if self._ready is None:
            self._leave()

    @property
    def _ready(self) -> TextModel | None:
        if self._other is None:
            return None
        opening = self._other[1]
        return opening.result() if opening.done() and not opening.cancelled() and not opening.exception() else None

    def _is_own(self, model: Current | None) -> bool:
        """Whether it is ours. Before our weights are here we know it by its setting alone."""
        if model is None:
            return True
        name = name_of(self.own)
        return model.setting == self._setting if name is None else name == model.name

    def _leave(self) -> None:
        """End the tower of a model that is not used any more, also one that is still being opened."""
        if self._other is not None:
            self._other[1].add_done_callback(_end)
        self._other = None

    def _tell(self, opening: "asyncio.Task[TextModel]") -> None:
        if not opening.cancelled() and not opening.exception():
            for engine in engines_of(text=opening.result()).values():
                self._opened(engine)


def _end(opening: "asyncio.Task[TextModel]") -> None:
    if not opening.cancelled() and not opening.exception():
        for engine in engines_of(text=opening.result()).values():
            engine.close()
