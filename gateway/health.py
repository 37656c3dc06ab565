"""Whether the gateway can really answer, and the state of everything it needs."""

from collections.abc import Callable, Mapping
from typing import Any

from gateway.errors import UnavailableError
from gateway.library import Library
from gateway.ml.pictures import Pictures
from gateway.ml.text import TextModel


class Health:
    """The state of a gateway; `others` are named functions that tell the state of more, such as upstream servers."""

    def __init__(
        self,
        text: TextModel | None,
        pictures: Pictures,
        library: Library,
        others: Mapping[str, Callable[[], object]],
    ) -> None:
        self._text = text
        self._pictures = pictures
        self._library = library
        self._others = others

    async def ready(self) -> bool:
        """Whether a search would be answered: the width that its vector must have is known."""
        if self._text is None:
            return True
        try:
            return await self._library.width() >= self._text.dimensions
        except UnavailableError:
            return False

    async def look(self) -> dict[str, Any]:
        """Everything, as JSON's types."""
        ready = await self.ready()
        return {
            "ready": ready,
            "text": None if self._text is None else {"model": self._text.name, "dimensions": self._text.dimensions},
            "pictures": {"loaded": self._pictures.loaded},
            "database": {"trouble": self._library.trouble, "vector_width": self._library.last_width},
        } | {name: state() for name, state in self._others.items()}
