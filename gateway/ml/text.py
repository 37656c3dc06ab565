"""Turns texts into vectors. The text tower stays loaded, takes everything that waits as one batch, and has a cache."""

import asyncio
import contextlib
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from gateway.database import AwayError
from gateway.errors import GatewayError, ModelAwayError, UnavailableError, UnsupportedError, UpstreamError
from gateway.gate import Gate
from gateway.library import Column, Current, Library, Vector, check_width
from gateway.metrics import Metrics
from gateway.ml.batcher import Batcher
from gateway.ml.engines import asked
from gateway.ml.protocol import PredictRequest, form, parse, vector_answer
from gateway.ml.tasks import Task
from gateway.ml.towers import TextModel as TextModel
from gateway.ml.towers import Towers
from gateway.ml.words import Words
from indexer.models.engines.engine import Engine
from indexer.models.engines.hosted import is_by_language, name_of
from indexer.photos import lexical
from indexer.photos.vectors import as_query

_NO_CLIP = "there is no CLIP here: TASKS leaves it out"
T = TypeVar("T")
BATCH = 32  # texts in one call of the model: more are not faster


class Question(NamedTuple):
    """A text to be searched by. `language`: as the asking program names it, None where nothing depends on it.

    `model`: the name of the model that makes its vector.
    """

    text: str
    language: str | None
    model: str


class Texts:
    """Answers `clip.textual`.

    Args:
        model: the text tower of CLIP_MODEL. None where there is no CLIP here, and nobody asks for it.
        library: for the width that vectors must have.
        metrics: where to count.
        queue: the most texts that may wait.
        cache: the number of vectors to cache.
        word_weight: how much nearer photos with the searched words come at least, as cosine similarity.
        setting: the value of CLIP_MODEL.
        open_tower: starts the text tower of another model. None: there are no others.
        immichs: asks Immich's own server, for as long as its model is the one in use.
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
        setting: str = "",
        open_tower: Callable[[str], TextModel] | None = None,
        immichs: Task | None = None,
    ) -> None:
        self._model = model
        self._towers = Towers(model, setting, open_tower, lambda engine: engine.when_lost(self._forget))
        self._immichs = immichs
        self._used: dict[str, TextModel] = {}  # the towers of the questions that wait, by name
        self.gate = Gate("texts", queue)
        self._library = library
        self._metrics = metrics
        self._words = Words(library)
        self._word_weight = word_weight
        self._size = cache
        self._cache: OrderedDict[Question, Vector] = OrderedDict()
        self._sampled: str | None = None  # the model of the sample's vectors
        for engine in self.engines.values():
            engine.when_lost(self._forget)
        # One call at a time, on all processors: two at a time would both be late.
        self._batcher: Batcher[Question, Vector] = Batcher(self._encode, BATCH)

    @property
    def engines(self) -> dict[str, Engine]:
        """The engines of its models, by task."""
        return self._towers.engines

    @property
    def has_clip(self) -> bool:
        """Whether there is CLIP here."""
        return self._model is not None

    @property
    def current(self) -> Current | None:
        """The model in use, as it was last seen. None where that is not known."""
        return self._library.last.model if self._library.last else None

    @property
    def model_name(self) -> str | None:
        """The name of the model in use. None where there is no CLIP here, or its name is not known yet."""
        if self._model is None:
            return None
        return self.current.name if self.current else name_of(self._model)

    async def look(self) -> Current | None:
        """The model in use now. Raises UnavailableError."""
        return await self._library.model()

    async def unmixed(self, find: Callable[[], Awaitable[T]]) -> T:
        """What a search comes to, by the vectors of one model. Raises UnavailableError."""
        return await self._library.unmixed(find)

    async def is_immichs(self, request: PredictRequest) -> bool:
        """Whether Immich's own server has to answer the request's entry for CLIP: its model is still the one in use."""
        current = await self._last_seen()
        if self._immichs is None or current is None or not current.is_immichs:
            return False
        current = await self.look()
        if current is None or not current.is_immichs:
            return False
        entry = request.entry("clip", "textual")
        named = (entry or request.entry("clip", "visual") or {}).get("modelName")
        if named and named != current.setting:
            with contextlib.suppress(AwayError):
                await self._library.name_immichs(named)
        return entry is None or lexical.words_only((await request.whole()).need_text()) is None

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
                column = await self._library.column()
                await self._words.learn(column.width, await self._dimensions(column))

    async def follow(self, pause: float) -> None:
        """Look every `pause` seconds which model is in use, without end, so that its tower is there when needed."""
        while True:
            with contextlib.suppress(GatewayError):
                current = await self.look()
                if current is None or not current.is_immichs:
                    await self._towers.of(current)
            await asyncio.sleep(pause)

    async def _of_both(self, text: str, language: str | None) -> Vector:
        """The vector by meaning, moved towards photos that contain these words."""
        # The column is read after the model, which needs every processor for itself, and once more after the words, for
        # which the database may take seconds. So the width is the present one, and a vector of a model that is no
        # longer in use is never answered.
        while True:
            before = self.current
            try:
                vector, by = await self._embed(text, language)
            except ModelAwayError:
                if await self.look() == before:
                    raise
                continue  # its tower has just been ended
            column = await self._library.column()
            if column.model is not None and column.model.name != by:
                continue
            check_width(column.width, len(vector))
            question = as_query(vector, column.width)
            if not self._word_weight or (column.model and column.model.is_immichs):
                return question
            self._renew(column)
            words = await self._words.beside(text, column.width, vector, self._word_weight)
            if words is not None:
                question += words
            if await self._library.column() == column:
                return question

    async def _of_words(self, words: str, text: str, language: str | None) -> Vector:
        """The vector by words only. By meaning where there are no words, or the column cannot express them."""
        if self._model is None:
            raise UnsupportedError(_NO_CLIP)
        while True:
            column = await self._library.column()
            dimensions = await self._dimensions(column)
            check_width(column.width, dimensions)
            self._renew(column)
            question = await self._words.only(words, column.width, dimensions)
            if question is None:
                return await self._of_both(words.strip() or text, language)
            if (await self._library.column()).model == column.model:
                return question

    async def _dimensions(self, column: Column) -> int:
        """Those of the column that are the model's. Usually known without its weights."""
        if column.model is not None and column.model.is_immichs:
            return column.width
        if column.model is not None and column.model.dimensions is not None:
            return column.model.dimensions
        tower = await self._towers.of(column.model)
        assert tower is not None  # noqa: S101 - whoever asks has checked that there is CLIP here
        return tower.dimensions

    def _renew(self, column: Column) -> None:
        """Forget the sample of a model that is no longer in use."""
        name = column.model.name if column.model else None
        if self._sampled != name:
            self._words.forget()
            self._sampled = name

    async def _last_seen(self) -> Current | None:
        """The model in use as it was last seen. None where that is not known."""
        if self._library.last is None:
            with contextlib.suppress(UnavailableError):
                return await self.look()
        return self.current

    async def embed(self, text: str, language: str | None = None) -> Vector:
        """The vector of `text` by the model in use: (dimensions,) float32, of length 1. `language`: of the question.

        Raises:
            BusyError: too many texts are waiting.
            MissingInputError: the model cannot process it.
            ModelAwayError: the model is not ready.
            UnavailableError: the model in use cannot be opened.
            UnsupportedError: there is no CLIP here.
        """
        return (await self._embed(text, language))[0]

    async def _embed(self, text: str, language: str | None) -> tuple[Vector, str]:
        """The vector, and which model made it."""
        if self._model is None:
            raise UnsupportedError(_NO_CLIP)
        current = await self._last_seen()
        if current is not None and current.is_immichs:
            return await self._ask_immichs(text, language, current), current.name
        cache = self._cache  # it is replaced by an empty one when the model is found to be sick
        with asked():
            tower = await self._towers.of(current)
            assert tower is not None  # noqa: S101 - there is CLIP here
            question = Question(text, language if is_by_language(tower) else None, tower.name)
            known = cache.get(question)
            if known is not None:
                cache.move_to_end(question)
                self._metrics.cache.labels("hit").inc()
                return known, question.model
            self._metrics.cache.labels("miss").inc()
            self._used[question.model] = tower
            with self.gate():
                vector = await self._batcher(question)
        cache[question] = vector
        while len(cache) > self._size:
            cache.popitem(last=False)
        return vector, question.model

    async def _ask_immichs(self, text: str, language: str | None, current: Current) -> Vector:
        """The vector by Immich's own model."""
        if self._immichs is None or not current.setting:
            raise UnavailableError(
                "until all photos were read Immich's own model is used, whose name is not known yet: search once in "
                "Immich itself, or upload a photo",
                30,
            )
        options = {"language": language} if language else {}
        entries = {"clip": {"textual": {"modelName": current.setting, "options": options}}}
        answer = await self._immichs(parse(*form(entries, text=text)))
        try:
            vector = np.array(json.loads(str(answer["clip"])), dtype=np.float32)
        except ValueError as error:
            raise UpstreamError(f"Immich's machine-learning server answered no vector: {error}") from error
        return vector / np.linalg.norm(vector)

    def _forget(self, _proven: float) -> None:
        """Empty the cache: some of it may be wrong. May be called from any thread."""
        self._cache = OrderedDict()

    def close(self) -> None:
        """Start no more work, and end the models."""
        self._towers.close()
        self._words.close()
        self._batcher.close()

    def _encode(self, questions: Sequence[Question]) -> list[Vector]:
        self._metrics.batch.observe(len(questions))
        found: dict[Question, Vector] = {}
        for model, language in {(question.model, question.language) for question in questions}:
            asked = [question for question in questions if (question.model, question.language) == (model, language)]
            texts = [question.text for question in asked]
            tower = self._used[model]
            made = tower.encode_texts(texts, language) if language else tower.encode_texts(texts)
            # Copies: a view would keep its whole batch in memory as long as it is cached.
            found |= {question: vector.copy() for question, vector in zip(asked, made, strict=True)}
        return [found[question] for question in questions]
