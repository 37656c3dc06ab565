"""Whether the gateway can really answer, and the state of everything that it needs."""

from collections.abc import Callable, Mapping
from typing import Any

from gateway.errors import UnavailableError
from gateway.library import Library
from gateway.ml.pictures import Pictures
from gateway.ml.text import TextModel
from indexer.models.engines.engine import Engine
from indexer.models.engines.hosted import dimensions_of, name_of
from indexer.models.engines.states import Phase


class Health:
    """The state of a gateway: of the `engines` needed so far, and of what the functions in `others` return."""

    def __init__(
        self,
        text: TextModel | None,
        pictures: Pictures,
        engines: Callable[[], Mapping[str, Engine]],
        library: Library,
        others: Mapping[str, Callable[[], object]],
    ) -> None:
        self._text = text
        self._pictures = pictures
        self._engines = engines
        self._library = library
        self._others = others

    async def ready(self) -> bool:
        """Whether a search would be answered: the models work, and the width of its vector is known."""
        if not all(engine.state.is_ready for engine in self._engines().values()):
            return False
        if self._text is None:
            return True
        try:
            return await self._library.width() >= self._text.dimensions
        except UnavailableError:
            return False

    @property
    def waits_for_weights(self) -> bool:
        """Whether a model is not ready only because its weights are missing: then a restart would not help."""
        away = [state for engine in self._engines().values() if not (state := engine.state).is_ready]
        return bool(away) and all(state.phase is Phase.WAITING for state in away)

    async def look(self) -> dict[str, Any]:
        """The whole state, as JSON."""
        ready = await self.ready()
        return {
            "ready": ready,
            "text": self._text and {"model": name_of(self._text), "dimensions": dimensions_of(self._text)},
            "engines": {name: engine.state.as_json for name, engine in self._engines().items()},
            "pictures": {"loaded": self._pictures.loaded},
            "database": {"trouble": self._library.trouble, "vector_width": self._library.last_width},
        } | {name: state() for name, state in self._others.items()}
