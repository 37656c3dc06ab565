"""Tries another CLIP model on some photos of the library, and compares it with the one in use.

The models work one after the other, each in a process of its own, so there is never more than one tower in memory.
Nothing is kept before the end.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import TypeVar
from uuid import UUID

import numpy as np

from indexer.database import schema
from indexer.database.pool import Pool, connect_to_immich, hang_up, open_pool
from indexer.errors import IndexerError, PictureError
from indexer.immich import ml_servers
from indexer.models.engines.hosted import HostedClip, HostedText, is_by_language
from indexer.models.engines.states import GuiltError
from indexer.models.load import Models, make_clip, make_text, start_inference
from indexer.photos import facts, sets, trials
from indexer.photos.sets import Model
from indexer.photos.trials import Cost, Figures, Kind, Sampled, Score, Trial, TrialError, Vector
from indexer.photos.vectors import halved
from indexer.settings import Settings
from indexer.work import labels, recall
from indexer.work.labels import KINDS, Question
from indexer.work.media import Media, MediaError

PHOTOS = 500
"""Of the sample, unless somebody asks for another number."""

_TIMED = 50  # photos that the model in use reads again, to see how long it takes
_AT_ONCE = 32  # photos under way
_HOPELESS = 20  # photos in a row that cannot be read, before any was: then something is wrong with all of them
_BATCH = 32  # texts in one call

Tell = Callable[[str, int, int], None]
"""Told what is being done, and how much of how much."""
H = TypeVar("H", HostedClip, HostedText)


@dataclass(frozen=True)
class Towers:
    """Makes the towers that a value of CLIP_MODEL names. They are started here."""

    image: Callable[[str], HostedClip]
    text: Callable[[str], HostedText]

    @classmethod
    def of(cls, settings: Settings) -> "Towers":
        """Those of these settings."""
        return cls(partial(make_clip, settings), partial(make_text, settings))


@dataclass
class _Reading:
    """What one model made of the sample."""

    vectors: dict[UUID, Vector] = field(default_factory=dict)
    left_out: int = 0
    reason: str = ""
    cost: Cost = field(default_factory=Cost)


async def run(
    settings: Settings, setting: str, photos: int = PHOTOS, *, tell: Tell, towers: Towers | None = None
) -> Trial:
    """Compare the model that `setting`, a value of CLIP_MODEL, names with the one in use. The result is kept.

    Args:
        settings: of this process.
        setting: its weights are here.
        photos: of the sample, at most.
        tell: for the progress.
        towers: by default those of the settings.

    Raises:
        TrialError: they cannot be compared. The text says why.
        WeightsError: it is no model that we know.
    """
    pool = await open_pool(settings.dsn, size=2)
    try:
        await pool.run(schema.require)
        lock = await connect_to_immich(settings.dsn)
        try:
            if not await trials.claim(lock):
                raise TrialError("another `immich-indexer model try` is at work: wait until it has ended")
            try:
                return await _Trying(settings, pool, towers or Towers.of(settings), tell).run(setting, photos)
            finally:
                await trials.release(lock)
        finally:
            await hang_up(lock)
    finally:
        await pool.close()


class _Trying:
    def __init__(self, settings: Settings, pool: Pool, towers: Towers, tell: Tell) -> None:
        self._settings = settings
        self._pool = pool
        self._towers = towers
        self._tell = tell

    async def run(self, setting: str, photos: int) -> Trial:
        async with self._pool.acquire() as connection:
            current, sample = await trials.sample(connection, photos)
        if current.setting is None:
            raise TrialError(f"no question can be asked with {current.name}, the model in use: {_unnamed(current)}")
        async with _at_work(self._towers.image(setting)) as tower:
            name = tower.name
            if name == current.name:
                raise TrialError(f"{name} is the model in use: try another one")
            made = await self._read(tower, sample, "reading with the tried model")
        compared = [photo for photo in sample if photo.asset in made.vectors]
        known = await facts.read(self._pool, [photo.asset for photo in compared])
        asked = labels.questions(known)
        scores: tuple[Score, ...] = ()
        if asked:
            tried = await self._ask(setting, asked, "asking the tried model")
            used = await self._ask_current(current, asked)
            row = {photo.asset: number for number, photo in enumerate(compared)}
            fitting = [frozenset(row[asset] for asset in question.photos) for question in asked]
            by_current = recall.recalls(used, _matrix([photo.vector for photo in compared]), fitting)
            by_tried = recall.recalls(tried, _matrix([made.vectors[photo.asset] for photo in compared]), fitting)
            scores = _scores([question.kind for question in asked], by_current, by_tried)
        cost = await self._time(current, compared)
        progress = await sets.progress(self._pool, name)
        figures = Figures(
            photos=len(compared),
            left_out=made.left_out,
            lacking=progress.photos - progress.made,
            dimensions=len(made.vectors[compared[0].asset]),
            scores=scores,
            current=cost,
            tried=made.cost,
        )
        trial = Trial(datetime.now(UTC), current.name, name, setting, figures)
        vectors = {photo.asset: (photo.vector, made.vectors[photo.asset]) for photo in compared}
        await self._pool.run(lambda connection: trials.store(connection, trial, vectors))
        return trial

    async def _read(self, tower: HostedClip, sample: Sequence[Sampled], what: str) -> _Reading:
        """The vectors of those photos of the sample whose preview is still the one that the current model has read."""
        reading, media, places = _Reading(), Media.of(self._settings), asyncio.Semaphore(_AT_ONCE)
        inference = start_inference(self._settings, Models(tower, None))

        async def one(photo: Sampled) -> None:
            async with places:
                try:
                    data = await media.read(photo.path)
                    if photo.digest not in (None, hashlib.sha256(data).digest()):
                        raise PictureError("it has changed and is to be read again")
                    vector, _ = await inference.read(data, clip=True, ocr=False)
                except (PictureError, MediaError, GuiltError) as error:
                    reading.left_out += 1
                    reading.reason = reading.reason or str(error)
                    if reading.left_out >= _HOPELESS and not reading.vectors:
                        raise TrialError(f"no photo can be read: {reading.reason}") from error
                    return
                assert vector is not None  # noqa: S101 - it was asked for
                reading.vectors[photo.asset] = halved(vector)
                self._tell(what, len(reading.vectors) + reading.left_out, len(sample))

        began = monotonic()
        try:
            self._tell(what, 0, len(sample))
            async with asyncio.TaskGroup() as group:
                for photo in sample:
                    group.create_task(one(photo))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        finally:
            inference.close()
        if not reading.vectors:
            raise TrialError(f"no photo can be read: {reading.reason}")
        reading.cost = Cost((monotonic() - began) / len(reading.vectors), tower.engine.peak)
        return reading

    async def _time(self, current: Model, photos: Sequence[Sampled]) -> Cost:
        """What reading takes the model in use. It is not known of Immich's own, nor where its weights are not here."""
        if current.is_immichs or current.setting is None:
            return Cost()
        try:
            async with _at_work(self._towers.image(current.setting)) as tower:
                return (await self._read(tower, photos[:_TIMED], "timing the model in use")).cost
        except IndexerError:
            return Cost()

    async def _ask(self, setting: str, asked: Sequence[Question], what: str, name: str | None = None) -> Vector:
        """The vectors of the questions: (n, dimensions). `name`: which model it has to be."""
        async with _at_work(self._towers.text(setting)) as tower:
            if name is not None and tower.name != name:
                raise TrialError(f"{setting} is {tower.name} here, and the photos have vectors of {name}")
            spoken = is_by_language(tower)
            made: dict[Question, Vector] = {}
            for language in sorted({question.language if spoken else None for question in asked}, key=str):
                alike = [question for question in asked if not spoken or question.language == language]
                for start in range(0, len(alike), _BATCH):
                    self._tell(what, len(made), len(asked))
                    batch = alike[start : start + _BATCH]
                    texts = [question.text for question in batch]
                    vectors = await asyncio.to_thread(tower.encode_texts, texts, language)
                    made |= dict(zip(batch, vectors, strict=True))
            self._tell(what, len(made), len(asked))
            return np.stack([made[question] for question in asked])

    async def _ask_current(self, current: Model, asked: Sequence[Question]) -> Vector:
        what = "asking the model in use"
        assert current.setting is not None  # noqa: S101 - checked before anything was read
        if not current.is_immichs:
            return await self._ask(current.setting, asked, what, current.name)
        self._tell(what, 0, len(asked))
        spoken = [(question.text, question.language) for question in asked]
        vectors = await ml_servers.embed(self._settings.ml_urls, current.setting, spoken)
        self._tell(what, len(asked), len(asked))
        return _matrix([np.array(vector, dtype=np.float32) for vector in vectors])


@asynccontextmanager
async def _at_work(tower: H) -> AsyncIterator[H]:
    """The tower, started, and ended after that, also where it is interrupted while it starts."""
    try:
        tower.engine.start()
        state = await asyncio.to_thread(tower.engine.settle)
        if not state.is_ready:
            raise TrialError(str(tower.engine.away()))
        yield tower
    finally:
        tower.engine.close()


def _matrix(vectors: Sequence[Vector]) -> Vector:
    """(n, d), each row of length 1."""
    rows = np.stack(vectors)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    made: Vector = (rows / np.maximum(lengths, 1e-12)).astype(np.float32)
    return made


def _scores(kinds: Sequence[Kind], current: np.ndarray, tried: np.ndarray) -> tuple[Score, ...]:
    """Of each kind of question that there is, and of all."""
    found = []
    for kind in (*KINDS, "all"):
        chosen = np.array([kind in (each, "all") for each in kinds])
        if chosen.any():
            low, high = recall.interval(tried[chosen] - current[chosen])
            means = float(current[chosen].mean()), float(tried[chosen].mean())
            found.append(Score(kind, int(chosen.sum()), *means, low, high))
    return tuple(found)


def _unnamed(current: Model) -> str:
    if current.is_immichs:
        return "Immich's name for it is not known yet; search once in Immich itself, or upload a photo"
    return "no setting that names it is known; set CLIP_MODEL to it and start the indexer once"
