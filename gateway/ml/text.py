"""Turns texts into vectors. The text tower stays loaded, takes everything that waits as one batch, and has a cache."""

import contextlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from gateway.errors import UnavailableError, UnsupportedError
from gateway.gate import Gate
from gateway.library import Library, Vector, check_width
from gateway.metrics import Metrics
from gateway.ml.batcher import Batcher
from gateway.ml.engines import asked, engines_of
from gateway.ml.protocol import PredictRequest, vector_answer
from gateway.ml.words import Words
from indexer.models.hosted import is_by_language, name_of
from indexer.photos import lexical
from indexer.photos.vectors import as_query

_NO_CLIP = "there is no CLIP here: TASKS leaves it out"
BATCH = 32  # texts in one call of the model: more are not faster


class Question(NamedTuple):
    """A text to be searched by. `language`: as the asking program names it, None where nothing depends on it."""

    text: str
    language: str | None


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


class Texts:
    """Answers `clip.textual`.

    Args:
        model: the text tower. None where there is no CLIP here, and nobody asks for it.
        library: for the width that vectors must have.
        metrics: where to count.
        queue: the most texts that may wait.
        cache: the number of vectors to cache.
        word_weight: how much nearer a photo with the searched text comes, as cosine similarity.
    """

    def __init__(
        self,
        model: TextModel | None,
        library: Library,
        metrics: Metrics,
        *,
        queue: int,
        cache: int,
        word_weight: float = 0,
    ) -> None:
        self._model = model
        self.gate = Gate("texts", queue)
        self._library = library
        self._metrics = metrics
        self._words = Words(library)
        self._word_weight = np.float32(word_weight)
        self._size = cache
        self._cache: OrderedDict[tuple[str, Question], Vector] = OrderedDict()
        self.engines = engines_of(text=model)
        for engine in self.engines.values():
            engine.when_lost(self._forget)
        # One call at a time, on all processors: two at a time would both be late.
        self._batcher: Batcher[Question, Vector] = Batcher(self._encode, BATCH)

    @property
    def model_name(self) -> str | None:
        """The model's name. None where there is no CLIP here, or its name is not known yet."""
        return name_of(self._model)

    async def __call__(self, request: PredictRequest) -> dict[str, object]:
        """`{"clip": vector}`. Raises GatewayError."""
        language = request.language("clip", "textual")
        text = request.need_text()
        words = lexical.words_only(text)
        with asked():
            question = await (self._of_both(text, language) if words is None else self._of_words(words, text, language))
        return {"clip": vector_answer(question)}

    async def warm(self) -> None:
        """Take a sample of the library, so that the first search is as good as later ones."""
        if self._model is not None:
            with contextlib.suppress(UnavailableError), asked():
                await self._words.learn(await self._library.width(), self._model.dimensions)

    async def _of_both(self, text: str, language: str | None) -> Vector:
        """The vector by meaning, moved towards photos that contain these words."""
        vector = await self.embed(text, language)
        # After the model, which needs every processor for itself. So the width is also the present one.
        width = await self._width(len(vector))
        question = as_query(vector, width)
        if self._word_weight:
            words = await self._words.beside(text, width, len(vector))
            if words is not None:
                question += self._word_weight * words
        return question

    async def _of_words(self, words: str, text: str, language: str | None) -> Vector:
        """The vector by words only. By meaning where there are no words, or the column cannot express them."""
        if self._model is None:
            raise UnsupportedError(_NO_CLIP)
        dimensions = self._model.dimensions  # usually known without its weights
        width = await self._width(dimensions)
        question = await self._words.only(words, width, dimensions)
        if question is not None:
            return question
        return as_query(await self.embed(words.strip() or text, language), width)

    async def _width(self, dimensions: int) -> int:
        width = await self._library.width()
        check_width(width, dimensions)
        return width

    async def embed(self, text: str, language: str | None = None) -> Vector:
        """The model's own vector of `text`: (dimensions,) float32, of length 1. `language`: in which it was asked.

        Raises:
            BusyError: too many texts are waiting.
            MissingInputError: the model cannot process it.
            ModelAwayError: the model is not ready.
            UnsupportedError: there is no CLIP here.
        """
        if self._model is None:
            raise UnsupportedError(_NO_CLIP)
        cache = self._cache  # it is replaced by an empty one when the model is found to be sick
        with asked():
            question = Question(text, language if is_by_language(self._model) else None)
            key = self._model.name, question
            known = cache.get(key)
            if known is not None:
                cache.move_to_end(key)
                self._metrics.cache.labels("hit").inc()
                return known
            self._metrics.cache.labels("miss").inc()
            with self.gate():
                vector = await self._batcher(question)
        cache[key] = vector
        while len(cache) > self._size:
            cache.popitem(last=False)
        return vector

    def _forget(self, _proven: float) -> None:
        """Empty the cache: some of it may be wrong. May be called from any thread."""
        self._cache = OrderedDict()

    def close(self) -> None:
        """Start no more work, and end the model."""
        for engine in self.engines.values():
            engine.close()
        self._words.close()
        self._batcher.close()

    def _encode(self, questions: Sequence[Question]) -> list[Vector]:
        self._metrics.batch.observe(len(questions))
        assert self._model is not None  # noqa: S101 - embed() has checked it
        found: dict[Question, Vector] = {}
        for language in {question.language for question in questions}:
            asked = [question for question in questions if question.language == language]
            texts = [question.text for question in asked]
            made = self._model.encode_texts(texts, language) if language else self._model.encode_texts(texts)
            # Copies: a view would keep its whole batch in memory as long as it is cached.
            found |= {question: vector.copy() for question, vector in zip(asked, made, strict=True)}
        return [found[question] for question in questions]
