"""`ocr:` asked at once: after the first upload, after a change of the column's width, and of photos that come later."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from statistics import fmean
from uuid import UUID, uuid4

import numpy as np
import pytest
from pgvector import HalfVector

from gateway.errors import UnavailableError
from gateway.library import Library
from gateway.ml import sample
from gateway.ml.words import Words
from indexer.database.pool import connect_to_immich, open_pool
from indexer.photos import results
from indexer.text import buckets, tokens
from tests.support.installs import install

DIMENSIONS = 512
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALPHABET = [chr(0x4E00 + number) for number in range(400)]
OFTEN = [1 / (rank + 5) for rank in range(len(ALPHABET))]
COUNTS = (1, 2, 3, 5, 8, 12, 20)  # photos that say what is asked


@pytest.fixture
async def library(database):
    await install(database)
    library = Library(database, patience=20)
    yield library
    await library.close()


@pytest.fixture
async def words(library):
    words = Words(library)
    yield words
    words.close()


def texts(count: int, seed: int = 0) -> list[str]:
    """Characters drawn as often as words are, two texts of three; the third says nothing."""
    choose = random.Random(seed)
    return [
        "".join(choose.choices(ALPHABET, OFTEN, k=choose.randint(10, 60))) if number % 3 else ""
        for number in range(count)
    ]


def pictures(count: int, seed: int = 0) -> np.ndarray:
    """The model's vectors of photos of a few occasions each of which looks much alike: (count, 512)."""
    choose = np.random.default_rng(seed)
    occasions = choose.standard_normal((count // 10 + 1, DIMENSIONS))
    vectors = occasions[choose.integers(len(occasions), size=count)]
    vectors += 0.3 * choose.standard_normal((count, DIMENSIONS))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def pairs(said: Sequence[str]) -> dict[str, set[int]]:
    """For every two characters which texts say them."""
    found = defaultdict(set)
    for number, text in enumerate(said):
        for start in range(len(text) - 1):
            found[text[start : start + 2]].add(number)
    return found


async def write(database: str, owner: UUID, said: Sequence[str], seed: int = 0) -> list[UUID]:
    """As if an indexer had read photos with those texts; their vectors are not yet in Immich's column."""
    assets = [uuid4() for _ in said]
    documents = [tokens.document([text], marks=buckets.marks(owner, NOW)) for text in said]
    own = await connect_to_immich(database)
    try:
        await own.execute("SET session_replication_role = replica")
        await own.execute(
            """INSERT INTO asset (id, "ownerId", type, "originalPath", "originalFileName", checksum,
                   "checksumAlgorithm", "fileCreatedAt", "fileModifiedAt", "localDateTime")
               SELECT id, $2, 'IMAGE', '', '', uuid_send(id), 'sha1', $3, $3, $3 FROM unnest($1::uuid[]) AS id""",
            assets,
            owner,
            NOW,
        )
        await own.execute(
            """INSERT INTO immich_indexer.photo (asset_id, preview_updated_at, digest, clip_model, clip, text, document,
                   tokens_version, taken_at)
               SELECT id, $6, '', 'stub', clip::halfvec, said, immich_indexer.document(said, ngrams), $5, $6
               FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS new (id, clip, said, ngrams)""",
            assets,
            [HalfVector(vector).to_text() for vector in pictures(len(said), seed)],
            list(said),
            [document.ngrams for document in documents],
            tokens.VERSION,
            NOW,
        )
    finally:
        await own.close()
    return assets


async def fill_column(database: str, assets: Sequence[UUID]) -> None:
    pool = await open_pool(database)
    try:
        for start in range(0, len(assets), 250):
            await results.restore(pool, assets[start : start + 250])
    finally:
        await pool.close()


async def resize(immich, connection, width: int) -> None:
    await immich.change_clip_model(width)
    await connection.execute("DROP INDEX clip_index")  # every vector is compared, and filling it takes its time


async def questions_of(words: Words, queries: dict[str, set[UUID]], width: int) -> dict[str, np.ndarray]:
    return {query: await words.only(query, width, DIMENSIONS) for query in queries}


async def right(immich, owner, questions: dict[str, np.ndarray], queries: dict[str, set[UUID]]) -> float:
    """The mean R-precision, once the first ten are right of every query."""
    precisions = []
    for query, matching in queries.items():
        found = await immich.smart_search(questions[query].tolist(), owner)
        first = found[: min(10, len(matching))]
        assert set(first) <= matching, f"{query}: {sum(asset in matching for asset in first)} of {len(first)}"
        precisions.append(len(matching.intersection(found[: len(matching)])) / len(matching))
    return fmean(precisions)


def asked(said: Sequence[str], assets: Sequence[UUID]) -> dict[str, set[UUID]]:
    """Some queries for each of COUNTS."""
    by_count = defaultdict(list)
    for pair, numbers in sorted(pairs(said).items()):
        by_count[len(numbers)].append((pair, numbers))
    return {
        pair: {assets[number] for number in numbers}
        for count in COUNTS
        for pair, numbers in random.Random(1).sample(by_count[count], min(3, len(by_count[count])))
    }


@pytest.mark.parametrize("photos", [60, 300, pytest.param(2000, marks=pytest.mark.soak)])
async def test_asked_at_once_after_the_first_upload_and_after_each_change_of_width(
    database, immich, connection, owner, words, photos
):
    await resize(immich, connection, 512)
    with pytest.raises(UnavailableError, match="no photo has a vector yet"):  # and nothing of this is remembered
        await words.only("发票", 512, DIMENSIONS)
    said = texts(photos)
    assets = await write(database, owner, said)
    queries = asked(said, assets)
    assert len(queries) >= 5
    for width in (512, 1024, 1536):
        if width > 512:
            await resize(immich, connection, width)
        before = await questions_of(words, queries, width)  # while the column is still empty
        await fill_column(database, assets)
        assert await right(immich, owner, before, queries) >= 0.98
        after = await questions_of(words, queries, width)
        assert await right(immich, owner, after, queries) >= 0.98


async def test_what_nobody_says_yet_is_found_once_somebody_does(database, immich, connection, owner, words):
    await resize(immich, connection, 1536)
    assets = await write(database, owner, texts(300))
    question = await words.only("龘靐", 1536, DIMENSIONS)
    said = [f"{text[:15]}龘靐{text[15:30]}" for text in texts(6, seed=3)]
    later = await write(database, owner, said, seed=1)
    await fill_column(database, assets + later)
    assert set((await immich.smart_search(question.tolist(), owner))[:6]) == set(later)


async def test_a_library_that_has_grown_is_looked_at_again(database, owner, library, monkeypatch):
    """Of a large one a part is looked at: again only when a tenth as many photos were read since."""
    monkeypatch.setattr(sample, "SIZE", 50)
    await write(database, owner, texts(100))
    sampler = sample.Sampler(library)
    first = await sampler.current(1024, DIMENSIONS)
    assert (len(first.places), first.photos, first.whole) == (50, 100, False)
    await write(database, owner, texts(5), seed=1)
    assert await sampler.current(1024, DIMENSIONS) is first
    await write(database, owner, texts(10), seed=2)
    second = await sampler.current(1024, DIMENSIONS)
    assert second.photos == 115
    assert (await sampler.current(1536, DIMENSIONS)).width == 1536
    sampler.close()


async def test_a_small_library_is_known_as_it_is(database, immich, owner, library):
    assets = await write(database, owner, texts(20))
    sampler = sample.Sampler(library)
    first = await sampler.current(1024, DIMENSIONS)
    assert set(first.places) == set(assets)
    assert await sampler.current(1024, DIMENSIONS) is first
    await immich.lock(assets[0])
    assert set((await sampler.current(1024, DIMENSIONS)).places) == set(assets[1:])
    sampler.close()


async def test_a_question_waits_for_the_library_to_be_looked_at_and_not_for_ever(database, owner, library, monkeypatch):
    await write(database, owner, texts(20))
    sampler = sample.Sampler(library)
    go_on = asyncio.Event()
    made = sample.read

    async def read(*arguments):
        await go_on.wait()
        return await made(*arguments)

    monkeypatch.setattr(sample, "read", read)
    with pytest.raises(UnavailableError, match="still being analysed"):
        await sampler.current(1024, DIMENSIONS, wait=0)
    first = asyncio.ensure_future(sampler.current(1024, DIMENSIONS))
    second = asyncio.ensure_future(sampler.current(1024, DIMENSIONS))
    go_on.set()
    assert await first is await second
    sampler.close()


async def test_a_question_is_answered_while_photos_are_being_read(database, owner, library, monkeypatch):
    """Each sample is old before it is done: a question takes the one that was begun after it was asked."""
    known = await write(database, owner, texts(20))
    sampler = sample.Sampler(library)
    made = sample.read
    arriving = iter(range(10))

    async def read(*arguments):
        await write(database, owner, texts(5), seed=next(arriving))
        return await made(*arguments)

    monkeypatch.setattr(sample, "read", read)
    first = await sampler.current(1024, DIMENSIONS)
    assert set(first.places) == set(known)
    for answered in range(1, 4):
        now = await sampler.current(1024, DIMENSIONS)
        assert len(now.places) == 20 + 5 * answered, "all that was there when it was asked"
    assert next(arriving) == 4, "one sample a question"
    sampler.close()
