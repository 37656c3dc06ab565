"""A worker with quick models on a real database: from Immich's writes to Immich's columns."""

import asyncio
from collections import Counter

import asyncpg
import numpy as np
import pytest
from pgvector import Vector
from structlog.testing import capture_logs

from indexer import images
from indexer.demo.immich import StandIn
from indexer.errors import ColumnWidthError
from indexer.immich import tokens as immich_text
from indexer.photos.vectors import as_column
from indexer.queue.claims import Queue
from indexer.views import status
from indexer.work.pace import WorkerPace
from indexer.work.worker import Models
from tests.support import stubs
from tests.support.hosts import hosted_clip, hosted_ocr
from tests.support.installs import install
from tests.support.stubs import StubClip, StubOcr
from tests.support.workers import eventually, idle, is_indexed, settings_for, working

Connection = asyncpg.Connection


async def vector_of(connection: Connection, asset) -> np.ndarray | None:
    text = await connection.fetchval('SELECT embedding::text FROM smart_search WHERE "assetId" = $1', asset)
    return None if text is None else Vector.from_text(text).to_numpy()


async def lines_of(connection: Connection, asset) -> list[str]:
    rows = await connection.fetch('SELECT text FROM asset_ocr WHERE "assetId" = $1 AND "isVisible" ORDER BY y1', asset)
    return [row["text"] for row in rows]


async def test_an_upload_is_indexed(database, immich: StandIn, connection: Connection, owner):
    async with working(settings_for(database, immich.media.directory)):
        asset = await immich.upload(stubs.picture(1), owner=owner)
        await idle(connection)
    vector = await vector_of(connection, asset)
    assert vector is not None
    assert float(vector @ stubs.expected_vector(1)) > 0.9999
    assert await lines_of(connection, asset) == [stubs.expected_text(1)]
    search = await connection.fetchval('SELECT text FROM ocr_search WHERE "assetId" = $1', asset)
    assert search == immich_text.search_text([stubs.expected_text(1)])
    assert await connection.fetchval('SELECT "ocrAt" IS NOT NULL FROM asset_job_status WHERE "assetId" = $1', asset)
    assert await connection.fetchval(
        "SELECT text FROM immich_indexer.photo WHERE asset_id = $1", asset
    ) == stubs.expected_text(1)


async def test_the_log_tells_of_what_was_read(database, immich: StandIn, connection: Connection, owner):
    with capture_logs() as lines:
        async with working(settings_for(database, immich.media.directory)):
            await immich.upload(stubs.picture(1), owner=owner)
            await idle(connection)
    told = [line for line in lines if line["event"] in ("read", "caught up")]
    assert told[0]["log_level"] == "info"
    assert sum(line["photos"] for line in told) == 1


async def test_before_the_first_run_nobody_is_told_that_it_is_done(database, immich: StandIn, connection, owner):
    await install(database)
    assert (await status.look(connection)).eta_seconds == 0, "there is nothing to read"
    await immich.upload(stubs.picture(1), owner=owner)
    assert (await status.look(connection)).eta_seconds is None
    await connection.execute("TRUNCATE immich_indexer.inbox")  # as where the photo was there before our triggers
    before = await status.look(connection)
    assert (before.left, before.indexed, before.total, before.eta_seconds) == (0, 0, 1, None)
    assert before.figures().eta_seconds is None
    async with working(settings_for(database, immich.media.directory)):
        await eventually(lambda: connection.fetchval("SELECT count(digest) = 1 FROM immich_indexer.photo"))
        await idle(connection)
        assert (await status.look(connection)).eta_seconds == 0


async def test_what_was_there_before_is_found(database, immich: StandIn, connection: Connection, owner):
    assets = [await immich.upload(stubs.picture(i), owner=owner) for i in range(20)]
    async with working(settings_for(database, immich.media.directory)):
        await eventually(lambda: connection.fetchval("SELECT count(digest) = 20 FROM immich_indexer.photo"))
        await idle(connection)
    for number, asset in enumerate(assets):
        assert await lines_of(connection, asset) == [stubs.expected_text(number)]
        assert float(await vector_of(connection, asset) @ stubs.expected_vector(number)) > 0.9999


async def test_hidden_and_trashed_photos_get_no_rows_until_they_come_back(database, immich, connection, owner):
    hidden, trashed, offline, seen = [await immich.upload(stubs.picture(i), owner=owner) for i in range(4)]
    await immich.hide(hidden)
    await immich.trash(trashed)
    await immich.go_offline(offline)
    async with working(settings_for(database, immich.media.directory)):
        await eventually(lambda: vector_of_exists(connection, seen))
        await idle(connection)
        for asset, come_back in ((hidden, immich.unhide), (trashed, immich.restore), (offline, immich.come_online)):
            assert not await vector_of_exists(connection, asset)
            assert await lines_of(connection, asset) == []
            await come_back(asset)
            await eventually(lambda asset=asset: vector_of_exists(connection, asset))


async def vector_of_exists(connection, asset) -> bool:
    return await connection.fetchval('SELECT EXISTS (SELECT FROM smart_search WHERE "assetId" = $1)', asset)


async def test_the_same_preview_is_not_read_twice(database, immich, connection, owner):
    models = Models(StubClip(), StubOcr(), "cpu")
    async with working(settings_for(database, immich.media.directory), models):
        asset = await immich.upload(stubs.picture(1), owner=owner)
        await eventually(lambda: vector_of_exists(connection, asset))
        await idle(connection)
        await immich.trash(asset)
        await immich.restore(asset)
        await idle(connection)
        assert models.clip.calls == models.ocr.calls == 1
        await immich.change_preview_format(asset, "webp")
        await idle(connection)
    # Another file; and its refreshed thumbnails are a wish of their own, if that comes only after the file was read.
    assert models.clip.calls == models.ocr.calls <= 3


async def test_a_wiped_text_is_healed(database, immich, connection, owner):
    """Immich's thumbnail job empties ocr_search and leaves asset_ocr."""
    async with working(settings_for(database, immich.media.directory)):
        asset = await immich.upload(stubs.picture(1), owner=owner)
        await eventually(lambda: vector_of_exists(connection, asset))
        await idle(connection)
        before = await connection.fetchval('SELECT text FROM ocr_search WHERE "assetId" = $1', asset)
        assert before
        await immich.regenerate_thumbnails(asset)
        await eventually(
            lambda: connection.fetchval('SELECT text = $2 FROM ocr_search WHERE "assetId" = $1', asset, before)
        )


async def test_cropped_away_lines_stay_hidden(database, immich, connection, owner):
    say = ["上面的字", "下面的字"]
    models = Models(StubClip(), StubOcr(say=lambda _: say), "cpu")
    async with working(settings_for(database, immich.media.directory), models):
        asset = await immich.upload(stubs.picture(1), owner=owner)
        await eventually(lambda: vector_of_exists(connection, asset))
        await idle(connection)
        assert await lines_of(connection, asset) == say
        # the stub's lines stand at 10 % and 20 % of the height
        await immich.edit(asset, crop=(0, 0, 8, 1))
        await idle(connection)
        assert await lines_of(connection, asset) == say[:1]
        await connection.execute("SELECT immich_indexer.reprocess($1)", asset)
        await idle(connection)
        assert await lines_of(connection, asset) == say[:1], "a new reading must not reveal what was cropped away"
        text = await connection.fetchval("SELECT text FROM immich_indexer.photo WHERE asset_id = $1", asset)
        assert text == say[0]
        search = await connection.fetchval('SELECT text FROM ocr_search WHERE "assetId" = $1', asset)
        assert search == immich_text.search_text(say[:1])
        await immich.regenerate_thumbnails(asset)
        await idle(connection)
        assert await lines_of(connection, asset) == say[:1]
        await immich.remove_edits(asset)
        await eventually(lambda: all_visible(connection, asset, say))


async def all_visible(connection, asset, say) -> bool:
    return await lines_of(connection, asset) == say


async def test_lines_written_by_two_are_there_once(database, immich, connection, owner):
    async with working(settings_for(database, immich.media.directory)):
        asset = await immich.upload(stubs.picture(1), owner=owner)
        await eventually(lambda: vector_of_exists(connection, asset))
        await idle(connection)
        # Immich's own job, overlapping: its DELETE saw none of our lines
        await connection.execute(
            'INSERT INTO asset_ocr ("assetId", x1, y1, x2, y2, x3, y3, x4, y4, "boxScore", "textScore", text) '
            "VALUES ($1, .1, .1, .9, .1, .9, .15, .1, .15, .9, .9, $2)",
            asset,
            stubs.expected_text(1),
        )
        await connection.execute('UPDATE ocr_search SET text = $2 WHERE "assetId" = $1', asset, "von anderswo")
        await eventually(lambda: all_visible(connection, asset, [stubs.expected_text(1)]))


async def test_immich_wiping_its_vectors_costs_a_copy(database, immich, connection, owner):
    models = Models(StubClip(), StubOcr(), "cpu")
    assets = [await immich.upload(stubs.picture(i), owner=owner) for i in range(5)]
    settings = settings_for(database, immich.media.directory, reconcile_seconds=0.2)
    async with working(settings, models):
        await eventually(lambda: connection.fetchval("SELECT count(*) = 5 FROM smart_search"))
        await idle(connection)
        await immich.smart_search_all()
        await eventually(lambda: connection.fetchval("SELECT count(*) = 5 FROM smart_search"))
        await immich.change_clip_model(1536)
        await eventually(lambda: connection.fetchval("SELECT count(*) = 5 FROM smart_search"))
        await immich.ocr_all()
        await eventually(lambda: connection.fetchval("SELECT count(*) = 5 FROM asset_ocr"))
        vector = await vector_of(connection, assets[3])
    assert models.clip.calls == 5
    assert models.ocr.calls == 5
    assert (vector == as_column(stubs.expected_vector(3), 1536, stubs.expected_text(3), ["", "IMG_0001.jpg"])).all()


async def test_vectors_of_another_model_are_replaced(database, immich, connection, owner):
    assets = [await immich.upload(stubs.picture(i), owner=owner) for i in range(3)]
    for asset in assets:
        await immich.immich_clip_job(asset, [1.0] + [0.0] * 511)
    async with working(settings_for(database, immich.media.directory, reconcile_seconds=0.2)):
        await eventually(lambda: connection.fetchval("SELECT count(digest) = 3 FROM immich_indexer.photo"))
        await idle(connection)
        assert float(await vector_of(connection, assets[0]) @ stubs.expected_vector(0)) > 0.9999
    await immich.immich_clip_job(assets[1], [1.0] + [0.0] * 511)  # a fail-over URL answered
    async with working(settings_for(database, immich.media.directory)):

        async def ours_again() -> bool:
            return float(await vector_of(connection, assets[1]) @ stubs.expected_vector(1)) > 0.9999

        await eventually(ours_again)


async def test_another_model_reads_everything_again(database, immich, connection, owner):
    for i in range(3):
        await immich.upload(stubs.picture(i), owner=owner)
    async with working(settings_for(database, immich.media.directory)):
        await eventually(lambda: connection.fetchval("SELECT count(digest) = 3 FROM immich_indexer.photo"))
        await idle(connection)
    models = Models(StubClip("a newer clip"), StubOcr(), "cpu")
    settings, pace = settings_for(database, immich.media.directory, clip_model="RN50"), WorkerPace(turn=0.05)
    async with working(settings, models, pace=pace, open_clip=lambda _setting: StubClip()):
        await eventually(
            lambda: connection.fetchval("SELECT state = 'current' FROM immich_indexer_3.model WHERE setting = 'RN50'")
        )
        await idle(connection)
    assert (models.clip.calls, models.ocr.calls) == (3, 0)


async def test_photos_deleted_for_good_are_forgotten(database, immich, connection, owner):
    async with working(settings_for(database, immich.media.directory, reconcile_seconds=0.2)):
        asset = await immich.upload(stubs.picture(1), owner=owner)
        await eventually(lambda: vector_of_exists(connection, asset))
        await idle(connection)
        await immich.delete_for_good(asset)
        await eventually(lambda: connection.fetchval("SELECT count(digest) = 0 FROM immich_indexer.photo"))


async def test_a_narrower_column_is_refused_with_advice(database, immich, connection, owner):
    with pytest.raises(ColumnWidthError, match="ViT-L-14__openai"):
        async with working(
            settings_for(database, immich.media.directory), Models(StubClip(dimensions=768), None, "cpu")
        ):
            pass


async def test_text_is_read_while_a_model_is_wider_than_the_column_and_vectors_follow(
    database, immich, connection, owner
):
    before = await immich.upload(stubs.picture(1), owner=owner)
    clip = StubClip(dimensions=768)
    models = Models(hosted_clip(clip), hosted_ocr(StubOcr()))
    pace = WorkerPace(idle=0.1, vectors=0.05)
    async with working(settings_for(database, immich.media.directory, max_attempts=1), models, pace=pace):
        after = await immich.upload(stubs.picture(2), owner=owner)
        for asset in (before, after):
            await eventually(lambda asset=asset: lines_of(connection, asset))
        state = await eventually(lambda: held(connection))
        assert "ViT-L-14__openai" in state.engines[0].reason
        assert state.failures == []
        assert [await vector_of(connection, asset) for asset in (before, after)] == [None, None]
        await immich.change_clip_model(768)
        for number, asset in ((1, before), (2, after)):
            await eventually(lambda asset=asset: vector_of_exists(connection, asset))
            assert np.allclose(await vector_of(connection, asset), made_of(number, 768), atol=1e-3)
        await idle(connection)
        await immich.change_clip_model(512)
        assert "ViT-L-14__openai" in (await eventually(lambda: held(connection))).engines[0].reason
        await connection.execute("SELECT pg_notify('immich_indexer', '')")
        again = await immich.upload(stubs.picture(3), owner=owner)
        await eventually(lambda: lines_of(connection, again))
        made = "SELECT clip_model IS NOT NULL FROM immich_indexer.photo WHERE asset_id = $1"
        assert not await connection.fetchval(made, again), "no vector was made that has no room"


def made_of(number: int, dimensions: int) -> np.ndarray:
    return stubs.vector_of(images.decode(stubs.picture(number), max_pixels=100).rgb, dimensions)


async def held(connection: Connection) -> status.Status | None:
    state = await status.look(connection)
    return state if [engine.state for engine in state.engines] == ["held"] else None


async def test_a_worker_that_has_unregistered_does_not_register_again(database, tmp_path, connection, monkeypatch):
    """A heartbeat after it would find no lease, and register again: for 20 s nobody could uninstall."""
    unregister = Queue.unregister

    async def slowly(queue: Queue) -> None:
        await unregister(queue)
        for _ in range(60):  # a heartbeat comes every 200 ms
            await connection.fetchval("SELECT pg_sleep(0.01)")

    monkeypatch.setattr(Queue, "unregister", slowly)
    await install(database)
    async with working(settings_for(database, tmp_path, lease_seconds=1)):
        pass
    assert await connection.fetchval("SELECT count(*) FROM immich_indexer.worker") == 0


async def test_want_of_memory_ends_no_worker(database, immich, connection, owner, monkeypatch):
    """Where there is none for an answer of the database, for example: it is asked again."""
    refused: Counter[str] = Counter()

    def short(name: str) -> None:
        method = getattr(Queue, name)

        async def first(self: Queue, *arguments: object, **options: object) -> object:
            refused[name] += 1
            if refused[name] <= 2:
                raise MemoryError
            return await method(self, *arguments, **options)

        monkeypatch.setattr(Queue, name, first)

    for name in ("heartbeat", "reap", "drain", "claim"):
        short(name)
    async with working(settings_for(database, immich.media.directory)):
        asset = await immich.upload(stubs.picture(1), owner=owner)
        await eventually(lambda: is_indexed(connection, asset, stubs.picture(1)))
        await eventually(lambda: asyncio.sleep(0, all(count > 2 for count in refused.values())))
    assert len(refused) == 4
