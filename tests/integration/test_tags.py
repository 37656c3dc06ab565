"""The tag `reindex` in Immich: photos that bear it are read again, once, and it is taken off."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from indexer.database.pool import Pool, open_pool
from indexer.demo.immich import StandIn
from indexer.errors import IndexerError, SettingsError
from indexer.immich.api import Immich
from indexer.photos import facts
from indexer.queue import tags
from indexer.queue.claims import Queue
from indexer.queue.jobs import Priority
from indexer.queue.retries import Policy
from indexer.queue.tags import Untagger
from indexer.work.pace import WorkerPace
from indexer.work.worker import Models
from tests.conftest import every_version
from tests.support import stubs
from tests.support.installs import install, make_role
from tests.support.workers import eventually, idle, settings_for, working

Connection = asyncpg.Connection


@dataclass
class Api:
    """Immich's own answer to taking a tag off, by the keys it knows."""

    immich: StandIn
    keys: dict[str, tuple[UUID, set[str]]] = field(default_factory=dict)
    calls: list[list[str]] = field(default_factory=list)
    url: str = ""

    async def untag(self, request: web.Request) -> web.Response:
        user, permissions = self.keys.get(request.headers.get("x-api-key", ""), (None, set()))
        if user is None:
            return web.json_response({"message": "Invalid API key"}, status=401)
        if "tag.asset" not in permissions:
            return web.json_response({"message": "Missing required permission: tag.asset"}, status=403)
        ids = (await request.json())["ids"]
        self.calls.append(ids)
        tag, database = UUID(request.match_info["tag"]), self.immich.database
        if await database.fetchval('SELECT "userId" FROM tag WHERE id = $1', tag) != user:
            return web.json_response({"message": "Not found or no tag.asset access"}, status=400)
        rows = await database.fetch('SELECT "assetId"::text FROM tag_asset WHERE "tagId" = $1', tag)
        there = {row["assetId"] for row in rows}
        await self.immich.untag([UUID(asset) for asset in ids if asset in there], tag)
        return web.json_response(
            [
                {"id": a, "success": True} if a in there else {"id": a, "success": False, "error": "not_found"}
                for a in ids
            ]
        )


@pytest.fixture
async def api(immich: StandIn, owner: UUID) -> AsyncIterator[Api]:
    api = Api(immich, {"ann": (owner, {"tag.asset"}), "weak": (owner, {"job.create"})})
    app = web.Application()
    app.router.add_delete("/api/tags/{tag}/assets", api.untag)
    async with TestServer(app) as server:
        api.url = str(server.make_url("/"))
        yield api


@pytest.fixture
async def installed(database: str) -> str:
    await install(database)
    return database


@pytest.fixture
async def pool(installed: str) -> AsyncIterator[Pool]:
    pool = await open_pool(installed)
    yield pool
    pool.terminate()


@pytest.fixture
async def photos(immich: StandIn, installed: str, connection: Connection, owner: UUID) -> list[UUID]:
    """Twenty-two of them, and nothing to be done for any."""
    assets = [await immich.upload(stubs.picture(number), owner=owner) for number in range(22)]
    await connection.execute("DELETE FROM immich_indexer.inbox; DELETE FROM immich_indexer_2.change")
    return assets


async def wishes(connection: Connection) -> dict[UUID, tuple[list[str], int]]:
    """Tasks and priority of every wish that a tag made since; none of them is left."""
    await follow(connection)
    rows = await connection.fetch("DELETE FROM immich_indexer.inbox RETURNING *")
    return {row["asset_id"]: (row["tasks"], row["priority"]) for row in rows}


async def follow(connection: Connection) -> None:
    """As an indexer does, twice a second."""
    left = 1
    while left:
        async with connection.transaction():
            left = await facts.follow(connection, 100)


@pytest.mark.parametrize(
    ("value", "tasks"),
    [
        ("reindex", ["clip!", "ocr!"]),
        ("reindex/ocr", ["ocr!"]),
        ("reindex/clip", ["clip!"]),
        ("Reindex/OCR", ["ocr!"]),
        ("reindexed", None),
        ("holiday/reindex", None),
        ("reindex/faces", None),
    ],
)
async def test_the_tag_says_what_is_to_be_read(immich, connection, photos, value, tasks):
    await immich.tag(photos[0], value)
    assert await wishes(connection) == ({photos[0]: (tasks, Priority.REQUEST)} if tasks else {})


async def test_a_few_go_first_and_many_after_uploads(immich, connection, photos):
    await immich.tag(photos[:20], "reindex/ocr")
    assert await wishes(connection) == {asset: (["ocr!"], Priority.REQUEST) for asset in photos[:20]}
    await immich.tag(photos[:21], "reindex/clip")
    assert await wishes(connection) == {asset: (["clip!"], Priority.BULK) for asset in photos[:21]}


async def test_a_metadata_refresh_is_no_news_and_a_tag_put_on_again_is(immich, connection, photos):
    asset = photos[0]
    tag = await immich.tag(asset, "reindex")
    await immich.tag(asset, "receipts")
    assert set(await wishes(connection)) == {asset}
    for again in (immich.refresh_metadata, immich.favourite, immich.archive, immich.unhide):
        await again(asset)
    assert await wishes(connection) == {}
    await immich.untag(asset, tag)
    assert await wishes(connection) == {}
    await immich.tag(asset, "reindex")
    assert set(await wishes(connection)) == {asset}
    # where the tag comes with the file's own metadata
    await immich.untag(asset, tag)
    assert await wishes(connection) == {}
    await connection.execute("UPDATE asset_exif SET tags = '{reindex}' WHERE \"assetId\" = $1", asset)
    await immich.refresh_metadata(asset)
    assert set(await wishes(connection)) == {asset}


@pytest.mark.parametrize("called", ["holiday", "reindex"])
async def test_ten_thousand_rewritten_rows_are_no_news(immich, connection, installed, owner, called):
    """Immich 3.3 writes the tags of all photos of a tag anew when another of theirs is renamed or deleted."""
    await connection.execute(LIBRARY, owner, ["family", called], 10_000)
    assert len(await wishes(connection)) == (10_000 if called == "reindex" else 0)
    rewrite = 'INSERT INTO tag_asset ("assetId", "tagId") SELECT a.id, t.id FROM asset a, tag t'
    async with connection.transaction():
        await connection.execute("DELETE FROM tag_asset")
        await connection.execute(rewrite)
    assert await connection.fetchval("SELECT count(*) FROM tag_asset") == 20_000
    assert await wishes(connection) == {}
    some = await connection.fetch("SELECT id FROM asset LIMIT 20")
    async with connection.transaction():
        for row in some:
            await connection.execute('DELETE FROM tag_asset WHERE "assetId" = $1', row["id"])
            await connection.execute(f"{rewrite} WHERE a.id = $1", row["id"])
    assert await wishes(connection) == {}
    async with connection.transaction():
        await connection.execute('DELETE FROM tag_asset WHERE "assetId" = ANY ($1)', [row["id"] for row in some])
        await connection.execute(f"{rewrite} WHERE a.id = $1", some[0]["id"])
    assert await wishes(connection) == {}
    await connection.execute(f"{rewrite} WHERE a.id = $1", some[1]["id"])
    assert set(await wishes(connection)) == ({some[1]["id"]} if called == "reindex" else set()), (
        "taken off, put on again"
    )


LIBRARY = """
WITH photos AS (
    INSERT INTO asset ("ownerId", type, "originalPath", "originalFileName", checksum, "checksumAlgorithm",
                       "fileCreatedAt", "fileModifiedAt", "localDateTime")
    SELECT $1::uuid, 'IMAGE', '/data/' || n, n::text, int4send(n), 'sha1', now(), now(), now()
    FROM generate_series(1, $3::int) AS n RETURNING id
), tags AS (
    INSERT INTO tag ("userId", value) SELECT $1, value FROM unnest($2::text[]) AS value RETURNING id
)
INSERT INTO tag_asset ("assetId", "tagId") SELECT photos.id, tags.id FROM photos, tags"""


@every_version
async def test_a_tag_that_is_renamed_or_deleted_beside_it_is_no_news(immich, connection, photos, immich_version):
    await immich.tag(photos[:3], "reindex")
    other = await immich.tag(photos[:5], "holiday")
    assert set(await wishes(connection)) == set(photos[:3])
    await immich.rename_tag(other, "Ferien")
    await immich.delete_tag(other)
    assert await wishes(connection) == {}


async def test_a_tag_that_is_renamed_is_a_wish_no_longer(pool, immich, connection, photos, api: Api, untagger):
    tag = await immich.tag(photos[:3], "reindex")
    await finish_all(pool)
    await immich.rename_tag(tag, "receipts")
    assert await untagger.round() == 0
    assert api.calls == []
    assert await connection.fetchval("SELECT count(*) FROM tag_asset") == 3, "receipts are not ours to take off"
    assert await tags.catch_up(pool) == 0
    assert await connection.fetchval("SELECT count(*) FROM immich_indexer.tagged") == 0
    await immich.rename_tag(tag, "reindex/ocr")
    assert await tags.catch_up(pool) == 3
    assert await wishes(connection) == {asset: (["ocr!"], Priority.BULK) for asset in photos[:3]}


async def test_a_deleted_tag_or_photo_is_no_news(immich, connection, photos):
    await immich.tag(photos[:2], "reindex")
    await wishes(connection)
    await immich.delete_for_good(photos[0])
    await connection.execute("DELETE FROM tag")
    assert await wishes(connection) == {}


async def test_nothing_of_ours_breaks_immichs_own_write(immich, connection, photos):
    await connection.execute("DROP TABLE immich_indexer_2.change")
    await immich.tag(photos[0], "reindex")
    assert await connection.fetchval("SELECT count(*) FROM tag_asset") == 1
    await connection.execute("DROP FUNCTION immich_indexer.on_tag_write CASCADE")
    await immich.tag(photos[1], "reindex")
    assert await connection.fetchval("SELECT count(*) FROM tag_asset") == 2


async def test_tagged_photos_are_read_again_once_and_the_tag_is_taken_off(
    database, immich, connection, owner, api: Api, monkeypatch
):
    """As the least-privileged role, and as Immich itself would answer."""
    tagged, take_off = asyncio.Event(), Untagger.round

    async def once_tagged(untagger: Untagger) -> int:
        await tagged.wait()  # Immich's own jobs for a tag write it back where it is taken off before they are done
        return await take_off(untagger)

    monkeypatch.setattr(Untagger, "round", once_tagged)
    role = await make_role(database)
    await install(role)
    assets = [await immich.upload(stubs.picture(number), owner=owner) for number in range(5)]
    models = Models(stubs.StubClip(), stubs.StubOcr(), "cpu")
    settings = settings_for(role, immich.media.directory, immich_url=api.url, immich_api_key="ann")
    async with working(settings, models, pace=WorkerPace(untag=0.05)):
        await idle(connection)
        read = models.ocr.calls
        await immich.tag(assets, "reindex/ocr")
        tagged.set()
        await eventually(lambda: no_tags(connection))
        await idle(connection)
    assert models.ocr.calls == read + 5
    assert sorted({asset for call in api.calls for asset in call}) == sorted(map(str, assets))


async def no_tags(connection: Connection) -> bool:
    return not await connection.fetchval("SELECT count(*) FROM tag_asset")


async def test_without_a_key_the_tag_stays_and_is_not_taken_for_a_new_one(installed, immich, connection, photos):
    models = Models(stubs.StubClip(), stubs.StubOcr(), "cpu")
    async with working(settings_for(installed, immich.media.directory, reconcile_seconds=0.1), models):
        await eventually(lambda: connection.fetchval("SELECT count(digest) = 22 FROM immich_indexer.photo"))
        await idle(connection)
        read = models.ocr.calls
        await immich.tag(photos[0], "reindex/ocr")
        await idle(connection)
        await eventually(lambda: connection.fetchval("SELECT count(*) = 1 FROM immich_indexer.tagged"))
        await immich.refresh_metadata(photos[0])
        await immich.refresh_metadata(photos[1])
    async with working(settings_for(installed, immich.media.directory, reconcile_seconds=0.1), models):
        await idle(connection)
    assert models.ocr.calls == read + 1
    assert not await no_tags(connection)


async def test_a_tag_that_no_event_told_of_is_found(pool, immich, connection, photos):
    await connection.execute("ALTER TABLE tag_asset DISABLE TRIGGER USER")
    tag = await immich.tag(photos[0], "reindex/clip")
    await connection.execute("ALTER TABLE tag_asset ENABLE TRIGGER USER")
    await connection.execute("DELETE FROM immich_indexer_2.change")
    assert await wishes(connection) == {}
    assert await tags.catch_up(pool) == 1
    assert await tags.catch_up(pool) == 0, "it is in the inbox"
    worker = Queue(pool, tag, Policy(3, 0, 60))
    await worker.register("test", "0", "cpu")
    await worker.drain()
    assert await tags.catch_up(pool) == 0
    (job,) = await worker.claim(10)
    assert (job.asset_id, job.tasks) == (photos[0], {"clip!"})
    await immich.untag(photos[0], tag)
    assert await tags.catch_up(pool) == 0
    assert await connection.fetchval("SELECT count(*) FROM immich_indexer.tagged") == 0


@pytest.fixture
async def untagger(pool, api: Api) -> AsyncIterator[Untagger]:
    async with Immich(api.url, "ann") as ann:
        yield Untagger(pool, ann)


async def test_one_that_failed_keeps_its_tag(pool, immich, connection, photos, untagger):
    tag = await immich.tag(photos[:3], "reindex")
    assert await untagger.round() == 0, "nobody has looked yet"
    await follow(connection)
    assert await untagger.round() == 0, "not even in the queue yet"
    worker = Queue(pool, tag, Policy(1, 0, 60))
    await worker.register("test", "0", "cpu")
    await worker.drain()
    assert await untagger.round() == 0
    first, second, third = await worker.claim(3)
    await worker.complete(pool, [first, second])
    await worker.fail(third, "unreadable")
    assert await untagger.round() == 2
    rows = await connection.fetch('SELECT "assetId" FROM tag_asset')
    assert [row["assetId"] for row in rows] == [third.asset_id]


async def test_the_tag_of_another_person_stays(pool, immich, connection, photos, api: Api, untagger):
    bob = await immich.create_user("bob")
    his = await immich.upload(stubs.picture(100), owner=bob)
    await immich.tag(photos[0], "reindex")
    foreign = await immich.tag(his, "reindex")
    await finish_all(pool)
    with capture_logs() as logs:
        assert await untagger.round() == 1
        asked = len(api.calls)
        assert await untagger.round() == 0
    assert len(api.calls) == asked, "and is not asked about again"
    (entry,) = [entry for entry in logs if entry["log_level"] == "warning"]
    assert entry["tag"] == str(foreign)
    assert "its owner is not that of IMMICH_API_KEY" in entry["event"]
    rows = await connection.fetch('SELECT "assetId" FROM tag_asset')
    assert [row["assetId"] for row in rows] == [his]


async def finish_all(pool: Pool) -> None:
    await pool.execute("DELETE FROM immich_indexer.inbox")
    await pool.run(follow)
    worker = Queue(pool, UUID(int=1), Policy(1, 0, 60))
    await worker.register("test", "0", "cpu")
    await worker.register("test", "0", "cpu")
    await worker.drain()
    await worker.complete(pool, await worker.claim(100))


@pytest.mark.parametrize(
    ("key", "message"),
    [("weak", r"refuses IMMICH_API_KEY \(403\): give it the permission tag.asset"), ("no", r"IMMICH_API_KEY \(401\)")],
)
async def test_a_key_that_may_not_is_named(pool, immich, connection, photos, api: Api, key, message):
    await immich.tag(photos[0], "reindex")
    await finish_all(pool)
    async with Immich(api.url, key) as somebody:
        with pytest.raises(IndexerError, match=message):
            await Untagger(pool, somebody).round()
    assert not await no_tags(connection)


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, ""), (200, "<html>"), (200, '{"success": true}'), (200, "[1]"), (302, ""), (404, "no such route")],
)
async def test_answers_that_make_no_sense_are_trouble_and_no_success(photos, status, body):
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=body)

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    async with TestServer(app) as server, Immich(str(server.make_url("/api")), "key") as somebody:
        with pytest.raises(IndexerError, match=rf"Immich answered {status} to /api/tags/.*\(check IMMICH_URL\)"):
            await somebody.remove_tag(photos[0], photos[:1])


async def test_an_address_that_is_none_or_where_nobody_is(photos):
    with pytest.raises(SettingsError, match="IMMICH_URL"):
        Immich("immich:2283", "key")
    async with Immich("http://127.0.0.1:9", "key") as nobody:
        with pytest.raises(IndexerError, match=r"cannot reach Immich at http://127.0.0.1:9"):
            await nobody.remove_tag(photos[0], photos[:1])
