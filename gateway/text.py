"""Texts to vectors: the text tower stays warm, takes whatever waits as one batch, and remembers."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from gateway.batcher import Batcher
from gateway.errors import UnsupportedError
from gateway.gate import Gate
from gateway.library import Library, Vector, fitted
from gateway.metrics import Metrics
from gateway.protocol import PredictRequest, vector_answer

BATCH = 32  # texts in one call of the model: more gain nothing


class TextModel(Protocol):
    """What is needed of a CLIP model; `indexer.models.clip.Clip` is one."""

    name: str
    dimensions: int

    def encode_texts(self, texts: Sequence[str]) -> Vector:
        """(n, dimensions) float32, L2-normalised."""


class Texts:
    """Answers `clip.textual`.

    Args:
        model: the text tower; None where there is no CLIP here, and nobody asks for it.
        library: tells the width that vectors must have.
        metrics: where to count.
        queue: texts that may wait at once.
        cache: vectors to remember.
    """

    def __init__(self, model: TextModel | None, library: Library, metrics: Metrics, *, queue: int, cache: int) -> None:
        self._model = model
        self.gate = Gate("texts", queue)
        self._library = library
        self._metrics = metrics
        self._size = cache
        self._cache: OrderedDict[tuple[str, str], Vector] = OrderedDict()
        # One call at a time, on all processors: a second one would only make both late.
        self._batcher: Batcher[str, Vector] = Batcher(self._encode, BATCH)

    @property
    def has_model(self) -> bool:
        """Whether there is CLIP here."""
        return self._model is not None

    async def __call__(self, request: PredictRequest) -> dict[str, object]:
        """`{"clip": vector}`. Raises GatewayError."""
        request.entry("clip", "textual")
        text = request.need_text()
        vector = await self.embed(text)
        # After the model, which wants every processor for itself; and so it is the width of now.
        return {"clip": vector_answer(fitted(vector, await self._library.width()))}

    async def embed(self, text: str) -> Vector:
        """The model's own vector of `text`: (dimensions,) float32, of length 1.

        Raises:
            BusyError: too many texts are waiting.
            UnsupportedError: there is no CLIP here.
        """
        if self._model is None:
            raise UnsupportedError("there is no CLIP here: TASKS leaves it out")
        key = self._model.name, text
        known = self._cache.get(key)
        if known is not None:
            self._cache.move_to_end(key)
            self._metrics.cache.labels("hit").inc()
            return known
        self._metrics.cache.labels("miss").inc()
        with self.gate():
            vector = await self._batcher(text)
        self._cache[key] = vector
        while len(self._cache) > self._size:
            self._cache.popitem(last=False)
        return vector

    def close(self) -> None:
        """Start nothing more."""
        self._batcher.close()

    def _encode(self, texts: Sequence[str]) -> list[Vector]:
        self._metrics.batch.observe(len(texts))
        assert self._model is not None  # noqa: S101 - embed() has looked
        vectors = self._model.encode_texts(texts)
        # Copies: a view would keep its whole batch alive in the cache.
        return [vector.copy() for vector in vectors]
