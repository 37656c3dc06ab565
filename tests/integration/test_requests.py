"""A person asks for photos again: what goes first, and what becomes of the wish on its way."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import numpy as np
import pytest
from structlog.testing import capture_logs

from indexer.demo.immich import StandIn
from indexer.errors import RequestError
from indexer.images import Picture
from indexer.models.inference import Inference
from indexer.models.results import Detection, Line
from indexer.queue import requests
from indexer.queue.jobs import Priority
from indexer.work.worker import Models, Worker
from tests.support import stubs
from tests.support.installs import install
from tests.support.workers import eventually, idle, settings_for, vector_of, working

Connection = asyncpg.Connection

BACKLOG = """
INSERT INTO immich_indexer.job (asset_id, tasks, priority, not_before)
SELECT gen_random_uuid(), '{clip,ocr}', $1, now() - i * interval '1 ms' FROM generate_series(1, 100000) AS i
"""


class Journal:
    """Every call of a model, in order: what it does, and what the stub would read in its pictures."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str]]] = []
        self.held = threading.Event()
        self._go_on = threading.Event()
        self._hold: Callable[[str, list[str]], bool] = lambda *_: False

    def hold(self, when: Callable[[str, list[str]], bool]) -> None:
        """Let the first call that is like this wait in its thread for `go_on`."""
        self._hold = when

    def go_on(self) -> None:
        self._go_on.set()

    def note(self, what: str, pictures: Sequence[np.ndarray]) -> None:
        texts = [stubs.text_of(rgb) for rgb in pictures]
        self.calls.append((what, texts))
        if not self.held.is_set() and self._hold(what, texts):
            self.held.set()
            assert self._go_on.wait(60)

    def models(self) -> Models:
        return Models(JournalClip(self), JournalOcr(self), "cpu")


class JournalClip(stubs.StubClip):
    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal

    def prepare(self, picture: Picture) -> np.ndarray:
        self._journal.note("prepare", [picture.rgb])
        return super().prepare(picture)

    def encode_images(self, prepared: Sequence[np.ndarray]) -> np.ndarray:
        self._journal.note("encode", prepared)
        return super().encode_images(prepared)


class JournalOcr(stubs.StubOcr):
    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal

    def detect(self, picture: Picture) -> Detection:
        self._journal.note("detect", [picture.rgb])
        return super().detect(picture)

    def recognise(self, detections: Sequence[Detection]) -> list[list[Line]]:
        self._journal.note("recognise", [detection.crops[0] for detection in detections])
        return super().recognise(detections)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set as soon as a photo that a person waits for stands in line for the models."""
    event, read = asyncio.Event(), Inference.read_each

    async def noticed(self: Inference, data: bytes, *, interactive: bool = False, **parts: bool) -> object:
        if interactive:
            event.set()
        return await read(self, data, interactive=interactive, **parts)

    monkeypatch.setattr(Inference, "read_each", noticed)
    return event


@pytest.fixture
async def installed(database: str) -> str:
    await install(database)
    return database


async def photos(immich: StandIn, owner: UUID, count: int) -> list[UUID]:
    return [await immich.upload(stubs.picture(number), owner=owner) for number in range(count)]


@asynccontextmanager
async def held(url: str, immich: StandIn, journal: Journal, **settings: object) -> AsyncIterator[Worker]:
    """A worker with a call of a model under way, which goes on at the end at the latest."""
    overrides = {"cpu_threads": 1, "batch_size": 8} | settings
    async with working(settings_for(url, immich.media.directory, **overrides), journal.models()) as worker:
        try:
            assert await asyncio.to_thread(journal.held.wait, 60)
            yield worker
        finally:
            journal.go_on()


def asked_for(number: int) -> Callable[[tuple[str, list[str]]], bool]:
    text = stubs.expected_text(number)
    return lambda call: text in call[1]


@pytest.mark.parametrize("priority", [Priority.UPLOAD, Priority.BACKFILL])
async def test_at_a_backlog_of_100_000_it_is_done_next(
    installed, immich, connection: Connection, owner, begun, priority
):
    assets = await photos(immich, owner, 40)
    wanted = assets[-1]
    await connection.execute("DELETE FROM immich_indexer.inbox")
    await connection.execute(BACKLOG, priority)
    # all the photos there really are come first, but the one asked for, which comes last
    await connection.execute(
        "INSERT INTO immich_indexer.job (asset_id, tasks, priority, not_before)"
        " SELECT id, '{clip,ocr}', $1, now() + CASE WHEN id = $2 THEN interval '1 s' ELSE interval '-1 h' END"
        " FROM unnest($3::uuid[]) AS id",
        priority,
        wanted,
        assets,
    )
    await connection.execute("ANALYZE immich_indexer.job")
    journal = Journal()
    journal.hold(lambda what, _: what == "encode")
    async with held(installed, immich, journal):
        before = len(journal.calls)
        await connection.execute("SELECT immich_indexer.reprocess($1)", wanted)
        await asyncio.wait_for(begun.wait(), 30)
        assert len(journal.calls) == before, "one thread, which is held"
        journal.go_on()
        await eventually(
            lambda: connection.fetchval("SELECT count(digest) FROM immich_indexer.photo WHERE asset_id = $1", wanted)
        )
        left = await connection.fetchval("SELECT count(*) FROM immich_indexer.job")
    after = journal.calls[before:]
    mine = [call for call in after if asked_for(39)(call)]
    assert sorted(what for what, _ in mine) == ["detect", "encode", "prepare", "recognise"]
    assert after[:4] == mine, "nothing was begun before all of it was done"
    assert all(len(texts) == 1 for _, texts in mine), "and it waited for nobody's company"
    assert left > 99_000


async def test_a_photo_already_claimed_is_put_first(installed, immich, connection, owner, begun):
    assets = await photos(immich, owner, 8)
    journal = Journal()
    journal.hold(lambda what, _: what == "detect")
    async with held(installed, immich, journal):
        waiting = [number for number in range(8) if not any(asked_for(number)(call) for call in journal.calls)]
        wanted = waiting[-1]
        assert await connection.fetchval("SELECT worker FROM immich_indexer.job WHERE asset_id = $1", assets[wanted])
        before = len(journal.calls)
        await connection.execute("SELECT immich_indexer.reprocess($1)", assets[wanted])
        await asyncio.wait_for(begun.wait(), 30)
        journal.go_on()
        await idle(connection)
    after = journal.calls[before:]
    mine = [call for call in after if asked_for(wanted)(call)]
    assert after[:4] == mine
    assert len(mine) == 4, "once is enough"
    assert await connection.fetchval("SELECT count(*) FROM smart_search") == 8


async def test_one_that_was_just_read_is_read_again(installed, immich, connection, owner, begun):
    """Its first reading cannot be stopped any more: then it comes back, and first."""
    (asset,) = await photos(immich, owner, 1)
    journal = Journal()
    journal.hold(lambda what, _: what == "encode")
    async with held(installed, immich, journal, cpu_threads=2):
        await connection.execute("SELECT immich_indexer.reprocess($1, '{clip}')", asset)
        await asyncio.wait_for(begun.wait(), 30)
        journal.go_on()
        await idle(connection)
    assert [what for what, _ in journal.calls].count("encode") == 2


async def test_it_does_not_wait_for_a_photo_that_runs_alone(installed, immich, connection, owner):
    bad, good = await photos(immich, owner, 2)
    await idle_after_indexing(installed, immich, connection)
    text = stubs.expected_text(0)
    journal = Journal()
    journal.hold(lambda what, texts: what == "encode" and texts == [text])
    await connection.execute(
        "INSERT INTO immich_indexer.job (asset_id, tasks, priority, attempts, deaths) VALUES ($1, '{clip!}', 10, 1, 1)",
        bad,
    )
    async with held(installed, immich, journal, cpu_threads=2):
        await connection.execute("SELECT immich_indexer.reprocess($1, '{clip}')", good)
        await eventually(lambda: no_job(connection, good))
        assert not await no_job(connection, bad)
    assert ("encode", [stubs.expected_text(1)]) in journal.calls


async def no_job(connection: Connection, asset: UUID) -> bool:
    return bool(
        await connection.fetchval(
            "SELECT NOT EXISTS (SELECT FROM immich_indexer.job WHERE asset_id = $1)"
            " AND NOT EXISTS (SELECT FROM immich_indexer.inbox WHERE asset_id = $1)",
            asset,
        )
    )


async def idle_after_indexing(url: str, immich: StandIn, connection: Connection) -> None:
    async with working(settings_for(url, immich.media.directory)):
        await idle(connection)


async def test_only_what_is_asked_for_is_read_again(installed, immich, connection, owner):
    (asset,) = await photos(immich, owner, 1)
    await idle_after_indexing(installed, immich, connection)
    models = Models(stubs.StubClip(), stubs.StubOcr(), "cpu")
    async with working(settings_for(installed, immich.media.directory), models):
        assert await requests.request(connection, [asset], ["ocr"]) == 1
        await idle(connection)
        assert (models.clip.calls, models.ocr.calls) == (0, 1)
        await requests.enqueue(connection, [asset], ["clip", "ocr"], Priority.UPLOAD)
        await idle(connection)
        assert (models.clip.calls, models.ocr.calls) == (0, 1), "nobody asked: it is what it was"


async def test_new_words_reach_the_vector_where_it_carries_words(installed, immich, connection, owner):
    await immich.change_clip_model(1024)
    (asset,) = await photos(immich, owner, 1)
    say = ["旧的发票"]
    models = Models(stubs.StubClip(), stubs.StubOcr(say=lambda _: say), "cpu")
    async with working(settings_for(installed, immich.media.directory), models):
        await idle(connection)
        before = await vector_of(connection, asset)
        say[:] = ["新的收据"]
        await requests.request(connection, [asset], ["ocr"])
        await eventually(lambda: no_job(connection, asset))
        after = await vector_of(connection, asset)
    assert models.clip.calls == 1
    assert np.any(before[stubs.DIMENSIONS :])
    assert np.any(after[stubs.DIMENSIONS :])
    assert not np.allclose(before[stubs.DIMENSIONS :], after[stubs.DIMENSIONS :])
    kept = before[: stubs.DIMENSIONS] @ after[: stubs.DIMENSIONS]
    norms = np.linalg.norm(before[: stubs.DIMENSIONS]) * np.linalg.norm(after[: stubs.DIMENSIONS])
    assert kept / norms > 0.9999, "what the photo shows is what it was"


# What may be asked for


async def wishes(connection: Connection) -> dict[UUID, tuple[list[str], int]]:
    """Tasks and priority of every wish; they are gone then."""
    rows = await connection.fetch("DELETE FROM immich_indexer.inbox RETURNING *")
    return {row["asset_id"]: (row["tasks"], row["priority"]) for row in rows}


async def test_a_few_go_first_and_many_after_uploads(installed, immich, connection, owner):
    assets = await photos(immich, owner, 21)
    await wishes(connection)
    assert await requests.request(connection, assets[:20], ["clip"]) == 20
    assert await wishes(connection) == {asset: (["clip!"], Priority.REQUEST) for asset in assets[:20]}
    assert await requests.request(connection, assets) == 21
    assert await wishes(connection) == {asset: (["clip!", "ocr!"], Priority.BULK) for asset in assets}
    assert Priority.UPLOAD < Priority.BULK < Priority.BACKFILL


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("$1, '{faces}'", r"tasks may be clip and ocr, not faces"),
        ("$1, '{ocr,text}'", r"tasks may be clip and ocr, not ocr, text"),
        ("$1, '{NULL}'", r"tasks may be clip and ocr, not null"),
        ("NULL", r"ids of photos must not be null"),
        (
            "'00000000-0000-0000-0000-000000000001'",
            r"there is no photo 00000000-0000-0000-0000-000000000001$",
        ),
    ],
)
async def test_nonsense_is_refused_and_changes_nothing(installed, immich, connection, owner, arguments, message):
    (asset,) = await photos(immich, owner, 1)
    await wishes(connection)
    parameters = [asset] if "$1" in arguments else []
    with pytest.raises(asyncpg.InvalidParameterValueError, match=message):
        await connection.execute(f"SELECT immich_indexer.reprocess({arguments})", *parameters)
    assert await wishes(connection) == {}


@pytest.mark.parametrize("tasks", ["NULL", "'{}'", "'{clip,ocr}'", "'{ocr,clip,ocr}'"])
async def test_all_tasks_is_what_nothing_means(installed, immich, connection, owner, tasks):
    (asset,) = await photos(immich, owner, 1)
    await wishes(connection)
    await connection.execute(f"SELECT immich_indexer.reprocess($1, {tasks})", asset)
    assert await wishes(connection) == {asset: (["clip!", "ocr!"], Priority.REQUEST)}


async def test_what_is_not_indexed_is_left_out(installed, immich, connection, owner):
    seen, hidden, trashed, offline = await photos(immich, owner, 4)
    unready = await immich.receive(owner=owner)
    await immich.hide(hidden)
    await immich.trash(trashed)
    await immich.go_offline(offline)
    await wishes(connection)
    with pytest.raises(asyncpg.InvalidParameterValueError, match=f"photo {hidden} is not indexed: it is hidden"):
        await connection.execute("SELECT immich_indexer.reprocess($1)", hidden)
    assert await requests.request(connection, [seen, hidden, trashed, offline, unready, seen]) == 1
    assert set(await wishes(connection)) == {seen}
    unknown = [uuid4() for _ in range(5)]
    with pytest.raises(RequestError, match=r"there is no photo .* and 2 more"):
        await requests.request(connection, [seen, *unknown])
    assert await wishes(connection) == {}


# By NOTIFY


async def notify(connection: Connection, message: str) -> None:
    await connection.execute("SELECT pg_notify('immich_indexer_reprocess', $1)", message)


async def test_a_script_asks_by_notify_and_once_is_enough(installed, immich, connection, owner):
    (asset,) = await photos(immich, owner, 1)
    await idle_after_indexing(installed, immich, connection)
    settings = settings_for(installed, immich.media.directory)
    models = Models(stubs.StubClip(), stubs.StubOcr(), "cpu")

    async def read(clip: int, ocr: int) -> bool:
        return (models.clip.calls, models.ocr.calls) == (clip, ocr)

    with capture_logs() as logs:
        async with working(settings, models), working(settings, models):
            await notify(connection, f'{{"assetId":"{asset}","tasks":["ocr"]}}')
            await eventually(lambda: read(0, 1))
            await notify(connection, f'{{"assetId": "{asset}"}}')
            await eventually(lambda: read(1, 2))
            await notify(connection, "both have heard the others when both say what is wrong with this one")
            await eventually(lambda: refusals(logs, 2))
            await idle(connection)
    assert await read(1, 2)


async def refusals(logs: list[Any], count: int) -> bool:
    return len([entry for entry in logs if entry["event"] == "a request by NOTIFY was refused"]) >= count


async def test_a_message_that_makes_no_sense_is_logged_with_what_is_wrong(installed, immich, connection, owner):
    (asset,) = await photos(immich, owner, 1)
    unready = await immich.receive(owner=owner)
    await idle_after_indexing(installed, immich, connection)
    messages = {
        "": "message: Invalid JSON",
        "read it again": "message: Invalid JSON",
        f'"{asset}"': "message: Input should be an object",
        '{"tasks": ["ocr"]}': "assetId: Field required",
        '{"assetId": "1234"}': "assetId: Input should be a valid UUID",
        '{"assetId": null}': "assetId: ",
        f'{{"assetId": "{asset}", "tasks": ["faces"]}}': "tasks.0: Input should be 'clip' or 'ocr'",
        f'{{"assetId": "{asset}", "tasks": "ocr"}}': "tasks: Input should be a valid array",
        f'{{"assetId": "{asset}", "task": ["ocr"]}}': "task: Extra inputs are not permitted",
        f'{{"assetId": "{uuid4()}"}}': "there is no photo ",
        f'{{"assetId": "{unready}"}}': "the photo is hidden, offline, in the trash, or has no preview yet",
    }
    readings = (
        "SELECT asset_id, digest, clip, lines, text, indexed_at FROM immich_indexer.photo WHERE digest IS NOT NULL"
    )
    before = await connection.fetch(readings)
    models = Models(stubs.StubClip(), stubs.StubOcr(), "cpu")
    with capture_logs() as logs:
        async with working(settings_for(installed, immich.media.directory), models):
            for message in messages:
                await notify(connection, message)
            await eventually(lambda: refusals(logs, len(messages)))
            await idle(connection)
    said = {entry["message"]: entry["reason"] for entry in logs if "message" in entry}
    assert set(said) == set(messages)
    for message, reason in messages.items():
        assert reason in said[message]
    assert await connection.fetch(readings) == before
    assert (models.clip.calls, models.ocr.calls) == (0, 0)
